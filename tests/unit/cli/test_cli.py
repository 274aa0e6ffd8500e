"""The commands against a stand-in of the API: what they print, and what they say to bad values."""

import json
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from weave_ryu.cli import glance, tables
from weave_ryu.cli.main import main

HEAVY = ("ryu", "eventlet", "pyroute2", "ovs", "rich", "structlog", "nacl", "weave_ryu.lab.lab")
NOW = datetime(2026, 11, 22, 20, 5, tzinfo=UTC)


def test_looking_imports_nothing_heavy():
    code = (
        "import sys; from weave_ryu.cli.main import main; "
        "status = main(['status', '--http-addr', '127.0.0.1:1']); "
        f"print(status, [name for name in {HEAVY!r} if name in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert result.stdout.split(maxsplit=1) == ["3", "[]\n"]


def test_every_verb_is_found_without_the_others():
    from weave_ryu.cli import main as module

    for verb in module._MODULES:
        parser = module.build_parser(verb)
        assert verb in parser._subparsers._group_actions[0].choices


def test_gateways_at_a_glance(run, answers, gateway):
    answers["/gateways"] = [gateway]
    status, out, err = run("gateway", "status")
    assert (status, err) == (0, "")
    assert out.startswith("office: gw1 eth1 forwards; gw2 eth7 could take over\n")
    assert "gw2 eth7" in out
    assert "BFD up" in out
    assert run("status", "gateways")[1].split("\n")[0] == out.split("\n")[0]


def test_a_wish_that_was_taken_back_is_shown_with_its_reason(run, answers, gateway):
    wish = {"asked": "role active", "outcome": "taken back", "why": "gw2 was made active later"}
    answers["/gateways"] = [{**gateway, "wish": wish}]
    out = " ".join(run("gateway", "status")[1].split())
    assert "role active was taken back: gw2 was made active later" in out
    answers["/gateways"] = [{**gateway, "wish": {**wish, "outcome": "pending"}}]
    assert "asked for: role active, not done yet" in " ".join(run("gateway", "status")[1].split())
    answers["/gateways"] = [{**gateway, "wish": {**wish, "outcome": "kept"}}]
    assert "asked" not in run("gateway", "status")[1]


def test_headline_is_the_daemons_word_once_for_each_segment(gateway):
    gone = {"who": "NOBODY FORWARDS", "could": "nobody could take over", "tone": "bad"}
    other = gateway | {"port": "eth2", "segment": "lab", "headline": gone}
    assert glance.headline([gateway, gateway | {"port": "eth3"}, other]) == (
        "office: gw1 eth1 forwards; gw2 eth7 could take over; "
        "lab: NOBODY FORWARDS; nobody could take over"
    )


def test_gateway_that_died_is_not_shown_as_it_was(gateway):
    (peer,) = gateway["peer_states"].values()
    why = "its daemon is silent for 5 s, its switch lives; gw1 eth1 took over"
    peer |= {"state": "active", "believed": "silent", "could": False, "why": why}
    row = glance.rows([gateway], NOW)[1]
    assert row[3] == "silent"
    assert row[5] == "no"
    assert row[8].startswith(why)


def test_headline_without_gateway_ports():
    assert glance.headline([]) == "this peer has no gateway port"


@pytest.mark.parametrize(
    ("since", "shown"),
    [
        ("2026-11-22T20:05:00+00:00", "0 s ago"),
        ("2026-11-22T20:03:01+00:00", "119 s ago"),
        ("2026-11-22T20:03:00+00:00", "2 min ago"),
        ("2026-11-22T17:05:00+00:00", "3 h ago"),
        ("2026-11-19T20:05:00+00:00", "3 d ago"),
        ("2026-11-22T20:06:00+00:00", "0 s ago"),
    ],
)
def test_age(since, shown):
    assert glance.age(since, NOW) == shown


def test_json_is_one_document_and_nothing_else(run, answers, gateway):
    answers["/gateways"] = [gateway]
    answers["/gateways/eth1"] = gateway
    answers["/status/targets"] = answers["/macs"] = answers["/status"] = []
    answers["/connect"] = b""
    for words in (
        ("gateway", "status"),
        ("gateway", "standby", "eth1"),
        ("status",),
        ("status", "macs"),
        ("status", "gateways"),
        ("connect", "192.0.2.1"),
    ):
        status, out, err = run(*words, "--json")
        assert (status, err) == (0, "")
        json.loads(out)


def test_role_is_sent(run, answers, gateway):
    answers["/gateways/eth%2F1"] = gateway
    status, out, _ = run("gateway", "activate", "eth/1")
    assert status == 0
    assert out == "eth1 (office): active, epoch 4\n"
    assert answers.asked[-1][:3] == ("PUT", "/gateways/eth%2F1", b'{"role": "active"}')


def test_refusal_is_the_daemons_own_sentence(run, answers):
    message = "'eth9' is no gateway port (there are: eth1)"
    error = {"code": "no-such-gateway", "message": message, "field": "port"}
    answers["/gateways/eth9"] = (404, {"error": error})
    assert run("gateway", "activate", "eth9") == (2, "", f"weave-ryu: {message}\n")


@pytest.mark.parametrize("body", [b"", b"<html>", b"\xff\xfe", b"[" * 100_000])
def test_other_server_is_told_from_a_daemon(run, answers, body):
    answers["/gateways"] = body
    status, out, err = run("gateway", "status")
    assert (status, out) == (1, "")
    assert err.startswith("weave-ryu: what answers on 127.0.0.1:")
    assert err.count("\n") == 1


@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b'{"error": 3}', b"[]"])
def test_refusal_of_another_server_is_one_sentence(run, answers, body):
    answers["/gateways"] = (500, body)
    status, out, err = run("gateway", "status")
    assert (status, out) == (1, "")
    assert "HTTP status 500" in err


@pytest.mark.parametrize("words", [("status",), ("gateway", "status", "--watch"), ("flows",)])
def test_without_daemon_the_status_is_three(run, words):
    status, out, err = run(*words, "--http-addr", "127.0.0.1:1")
    assert (status, out) == (3, "")
    assert "127.0.0.1:1" in err


@pytest.mark.parametrize("address", ["", "x", "localhost:6784", "127.0.0.1", "127.0.0.1:0", "::"])
def test_wrong_address_is_a_usage_error(run, address):
    status, out, err = run("status", "--http-addr", address)
    assert (status, out) == (2, "")
    assert repr(address) in err


@pytest.mark.parametrize("value", ["0", "0.01", "61", "nan", "inf", "-1", "x", "", "1e999"])
def test_wrong_interval_is_named(run, answers, value):
    answers["/gateways"] = []
    status, out, err = run("gateway", "status", "--watch", f"--interval={value}")
    assert (status, out) == (2, "")
    assert err.startswith(f"weave-ryu: --interval {value!r}: ")


def test_watch_and_json_exclude_each_other(run, answers):
    answers["/gateways"] = []
    assert run("gateway", "status", "--watch", "--json")[0] == 2


def test_watch_shows_each_state_once_and_outlives_the_daemon(run, answers, gateway, monkeypatch):
    from weave_ryu.cli import gateway as module

    sequence = iter(
        [
            {},
            {"lease": 1},
            {"believed": "standby"},
            None,
        ]
    )

    def pause(_seconds):
        change = next(sequence)
        if change is None:
            raise KeyboardInterrupt
        answers["/gateways"] = [gateway | change]

    answers["/gateways"] = [gateway]
    monkeypatch.setattr(module.time, "sleep", pause)
    status, out, _ = run("gateway", "status", "--watch")
    assert status == 0
    assert out.count("SEGMENT") == 2


def test_what_other_hosts_say_is_no_markup():
    from rich.console import Console

    console = Console(width=80, color_system=None)
    with console.capture() as captured:
        console.print(tables.as_rich("", ("A", "B"), [["[red]x[/red]", "active"]]))
    assert "[red]x[/red]" in captured.get()


def test_on_a_terminal_states_have_colours():
    from rich.console import Console

    console = Console(width=80, force_terminal=True, color_system="standard")
    with console.capture() as captured:
        console.print(tables.as_rich("", ("A",), [["active"], ["other"]]))
    lines = captured.get().splitlines()
    assert any("\x1b[1;32mactive" in line for line in lines)


def test_plain_table_without_rows_has_its_head():
    assert tables.as_text("t", ("A", "B"), []) == "t\nA  B\n"


@pytest.mark.parametrize("words", [(), ("stats",), ("--nonsense",), ("status", "nothing")])
def test_wrong_words_are_usage_errors(run, words):
    status, out, err = run(*words)
    assert (status, out) == (2, "")
    assert "usage: weave-ryu" in err


def test_waiting_is_told_on_a_terminal_only(monkeypatch, capsys):
    from weave_ryu.cli import client

    with client.waiting("nothing"):
        pass
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(client, "PATIENCE_S", 0.0)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    told = client.threading.Event()
    monkeypatch.setattr(client, "_say", lambda line: told.set())
    with client.waiting("the switch"):
        assert told.wait(5)


def test_main_is_what_the_console_script_calls():
    assert callable(main)


def test_trace_shows_each_hop_and_the_reason(run, answers):
    drop = {"table": "gate_in", "why": "eth1 is not active", "drop": "not_active_in"}
    step = {
        "peer": "7a:00:00:00:00:0a", "nick_name": "A", "how": "comes in by c1", "error": None,
        "path": [{"table": "classify", "why": "a port", "drop": None}], "drops": [drop],
        "out": [
            {"port": "eth1", "segment": "vlan", "host": False},
            {"port": "weave", "host": True},
        ],
        "next": ["7a:00:00:00:00:0b"],
    }  # fmt: skip
    other = step | {"nick_name": "B", "error": "no answer", "drops": [], "out": [], "next": []}
    answers["/trace?from=A%2Fc1&to=&broadcast=true"] = {
        "source": "02:00", "to": "ff:ff", "steps": [step, other], "problems": ["twice"],
        "summary": "1 port(s) get it",
    }  # fmt: skip
    status, out, err = run("trace", "A/c1", "--broadcast", "--explain")
    assert (status, err) == (0, "")
    assert out.splitlines() == [
        "02:00 → ff:ff",
        "  A: comes in by c1",
        "    classify        a port",
        "    dropped in gate_in: eth1 is not active",
        "    goes out by eth1 to segment vlan",
        "    goes out by weave, the host's own port",
        "    goes on through the mesh to 7a:00:00:00:00:0b",
        "  B: comes in by c1",
        "    no answer",
        "    classify        a port",
        "  problem: twice",
        "1 port(s) get it",
    ]


def test_token_is_sent_and_never_shown(run, answers, gateway, tmp_path, monkeypatch):
    path = tmp_path / "token"
    path.write_text("0123456789abcdef")
    path.chmod(0o600)
    answers["/gateways"] = [gateway]
    out = run("gateway", "status", "--api-token-file", str(path))[1]
    assert answers.asked[-1][3]["Authorization"] == "Bearer 0123456789abcdef"
    assert "0123456789abcdef" not in out
    monkeypatch.setenv("WEAVE_API_TOKEN_FILE", str(path))
    run("status", "gateways")
    assert answers.asked[-1][3]["Authorization"] == "Bearer 0123456789abcdef"


@pytest.mark.parametrize("text", ["", "short", "spaces in between are wrong"])
def test_wrong_token_file_is_named(run, answers, tmp_path, text):
    path = tmp_path / "token"
    path.write_text(text)
    path.chmod(0o600)
    status, out, err = run("gateway", "status", "--api-token-file", str(path))
    assert (status, out) == (2, "")
    assert err.startswith(f"weave-ryu: --api-token-file {str(path)!r}: holds no token")
    assert answers.asked == []


def test_refused_token_is_told(run, answers):
    message = "send the token of --api-token-file: Authorization: Bearer TOKEN"
    error = {"code": "no-token", "message": message, "field": "Authorization"}
    answers["/gateways/eth1"] = (401, {"error": error})
    assert run("gateway", "drain", "eth1") == (1, "", f"weave-ryu: {message}\n")


@pytest.mark.parametrize(
    ("ready", "words"), [(True, "active ready\n"), (False, "active not-ready\n")]
)
def test_state_is_two_words_for_scripts(run, answers, gateway, ready, words):
    answers["/gateways/eth1"] = gateway | {"ready": ready}
    assert run("gateway", "state", "eth1") == (0, words, "")
    assert json.loads(run("gateway", "state", "eth1", "--json")[1])["port"] == "eth1"


def test_narrow_terminal_does_without_some_columns(gateway):
    rows = glance.rows([gateway], NOW)
    headers, cells = tables.fitting(80, glance.HEADERS, rows, glance.SPARE)
    assert headers == ["PORT", "STATE", "EPOCH", "READY", "WHY"]
    assert [row[1] for row in cells] == ["active", "standby"]
    assert tables.fitting(120, glance.HEADERS, rows, glance.SPARE) == (glance.HEADERS, rows)


@pytest.mark.parametrize("term", ["xterm", "dumb"])
def test_watch_on_a_terminal_ends_with_an_interrupt(daemon, answers, gateway, term):
    import os
    import pty
    import select
    import signal

    answers["/gateways"] = [gateway]
    child, terminal = pty.fork()
    if child == 0:
        os.environ |= {"WEAVE_HTTP_ADDR": daemon, "TERM": term}
        # Whoever runs the tests in the background of a script may have it ignored.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.execv(
            sys.executable, [sys.executable, "-m", "weave_ryu", "gateway", "status", "--watch"]
        )
    shown = b""
    while b"forwards" not in shown or b"standby" not in shown:
        if not select.select([terminal], [], [], 60.0)[0]:
            os.kill(child, signal.SIGKILL)
            pytest.fail(f"nothing more is shown after {shown!r}")
        shown += os.read(terminal, 4096)
    os.kill(child, signal.SIGINT)
    while True:
        try:
            if not os.read(terminal, 4096):
                break
        except OSError:  # how Linux says that the other side has gone
            break
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert (b"\x1b[" in shown) == (term != "dumb")


def test_peer_without_gateway_port_shows_those_of_the_others(run, answers):
    answers["/gateways"] = []
    gateways = [
        {
            "peer": f"7a:00:00:00:00:0{n}", "nick_name": f"gw{n}", "port": "eth1", "role": "auto",
            "state": "active", "believed": believed, "epoch": 3, "ready": True, "could": False,
            "reason": "said", "why": "because",
        }
        for n, believed in enumerate(("replaced", "active"), 1)
    ]  # fmt: skip
    line = {"who": "gw2 eth1 forwards", "could": "nobody else could take over", "tone": "good"}
    answers["/mesh"] = {"segments": [{"name": "office", "headline": line, "gateways": gateways}]}
    status, out, err = run("gateway", "status")
    assert (status, err) == (0, "")
    words = "office: gw2 eth1 forwards; nobody else could take over"
    assert out.startswith(f"this peer has no gateway port; {words}\n")
    assert out.count("because") == 2
    assert out.count("active") == 1
    assert run("gateway", "status", "--json")[1] == "[]\n"
