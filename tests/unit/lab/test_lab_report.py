import json

from weave_ryu.lab.counting import Delivery
from weave_ryu.lab.daemon import established_links
from weave_ryu.lab.report import Gap, Report
from weave_ryu.lab.traffic import ETHERTYPE, build_frame, carried, parse_frame

EXACT = Delivery(sent=5, arrived=5, duplicated=0, lost=0, most_copies=1)
BAD = Delivery(sent=5, arrived=4, duplicated=2, lost=1, most_copies=3)


def report_with(*, ok):
    report = Report()
    report.account("baseline", "broadcast", ("Host1", "containers"), [EXACT, BAD])
    report.gaps.append(Gap("A→B", "W-c1", "Host1", 31.4, 8, 9.0))
    report.check("exactly_once", "baseline", "4", "5", ok=ok)
    return report


def test_account_sums_over_receivers():
    [account] = report_with(ok=True).accounts
    assert (account.sent, account.expected) == (5, 10)
    assert (account.arrived, account.duplicated, account.lost) == (9, 2, 1)


def test_document_is_json_and_names_what_was_violated():
    document = json.loads(json.dumps(report_with(ok=False).as_document()))
    assert document["ok"] is False
    assert document["violated"] == ["exactly_once"]
    assert document["role_changes"][0]["gap_ms"] == 31.4
    assert report_with(ok=True).as_document()["ok"] is True


def test_plain_tables_show_every_row(capsys):
    report_with(ok=False).print_tables()
    printed = capsys.readouterr().out
    for words in ("9 of 10", "31 ms", "VIOLATED"):
        assert words in printed


def test_empty_report_can_be_printed(capsys):
    Report().print_tables()
    assert "Checks" in capsys.readouterr().out


def test_frame_carries_run_stream_and_number():
    frame = build_frame("02:00:00:00:00:0a", "ff:ff:ff:ff:ff:ff", 7, 3, 42)
    assert frame[:6] == b"\xff" * 6
    assert int.from_bytes(frame[12:14], "big") == ETHERTYPE
    assert len(frame) == 60
    assert parse_frame(frame, 7) == (3, 42)
    assert parse_frame(frame, 8) is None
    assert parse_frame(frame[:20], 7) is None
    assert parse_frame(b"\0" * 60, 7) is None


def test_frame_is_found_inside_vxlan():
    frame = build_frame("02:00:00:00:00:0a", "ff:ff:ff:ff:ff:ff", 7, 3, 42)
    ethernet = bytes(12) + b"\x08\x00"
    ip = b"\x45" + bytes(8) + b"\x11" + bytes(10)
    udp, vxlan = b"\x12\x34" + (6784).to_bytes(2, "big") + bytes(4), b"\x08" + bytes(7)
    assert carried(ethernet + ip + udp + vxlan + frame) == frame
    other_port = udp[:2] + b"\x12\xb5" + udp[4:]
    assert carried(ethernet + ip + other_port + vxlan + frame) == b""
    assert carried(frame) == b""


def test_links_are_read_from_a_report_of_weaves_shape():
    report = {
        "Router": {
            "Peers": [
                {
                    "NickName": "W",
                    "Connections": [
                        {"NickName": "X", "Established": True},
                        {"NickName": "Y", "Established": False},
                    ],
                },
                {"NickName": "X", "Connections": None},
            ]
        }
    }
    assert established_links(report) == {("W", "X")}
    assert established_links({}) == set()
