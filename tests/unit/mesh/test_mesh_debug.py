"""``weave-ryu debug``: the shapes of the vectors, and one sentence for bad input."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path

import pytest

from weave_ryu.cli import debug, main
from weave_ryu.mesh.describe import describe_bytes
from weave_ryu.mesh.framing import frame
from weave_ryu.mesh.messages import Gossip, UnicastGossip, encode_gossip, encode_unicast
from weave_ryu.names import PeerName

VECTORS = Path(__file__).resolve().parents[2] / "interop" / "vectors"


def load(name: str):
    return json.loads(gzip.decompress((VECTORS / name).read_bytes()))


@pytest.fixture
def run(monkeypatch, capsys):
    def call(verb: str, text: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.stdin", io.StringIO(text))
        status = main.main(["debug", verb])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


def test_decode_reads_single_messages_and_whole_streams(run):
    connection = load("tcp.json.gz")["captures"]["fastdp"]["connections"][0]
    sent = [m for m in connection["messages"] if m["dir"] == "initiator"]
    expected = [m["decoded"] for m in sent]
    for text in (
        "\n".join(m["hex"] for m in sent),
        "".join(m["hex"] for m in sent),
        sent[0]["hex"] + "\n\n" + "".join(m["hex"] for m in sent[1:]).upper(),
    ):
        status, out, _ = run("decode", text)
        assert status == 0
        assert [json.loads(line) for line in out.splitlines()] == expected


def test_routes_and_merge_answer_like_the_vectors(run):
    for topology in load("routes.json.gz")["topologies"][:5]:
        results = topology.pop("results")
        assert json.loads(run("routes", json.dumps(topology))[1]) == results
    for case in load("merge.json.gz")["cases"][:20]:
        before = {key: case.pop(key) for key in ("self", "state_before", "update_gob")}
        left = {key: case.pop(key) for key in list(case) if key.endswith("_before") or key == "id"}
        assert json.loads(run("merge", json.dumps(before | left))[1]) == case


@pytest.mark.parametrize(
    ("verb", "text", "sentence"),
    [
        ("decode", "zz", "line 1: this is not hex"),
        ("decode", "\n00000005aa", "line 2: cut"),
        ("decode", "776561", "header of 3 bytes"),
        ("decode", "0000000107", "overlay message of 0 bytes"),
        ("decode", "01" + "00" * 32 + "00000001ff", "line 1"),
        ("decode", "7fffffff00", "message-too-long"),
        ("routes", "", "this is not JSON"),
        ("routes", "[1]", "one JSON object"),
        ("routes", '{"peers": ["01"], "connections": []}', "peers: '01' is not a peer name"),
        ("routes", '{"peers": ["000000000001"], "connections": [[0, 1, 1]]}', "no index"),
        ("routes", '{"peers": ["000000000001"], "connections": [3]}', "is not [from, to"),
        ("merge", "{}", "self: this key is missing"),
        ("merge", '{"self": "000000000001", "state_before": []}', "no entry of ourself"),
        ("merge", '{"self": "000000000001", "state_before": [{"peer": 1}]}', "not of type dict"),
    ],
)
def test_bad_input_is_one_sentence_and_status_one(run, verb, text, sentence):
    status, out, err = run(verb, text)
    assert status == 1
    assert out == ""
    assert sentence in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("verb", ["decode", "routes", "merge"])
def test_help_has_an_example(verb, capsys):
    with pytest.raises(SystemExit) as exit_status:
        main.main(["debug", verb, "--help"])
    assert exit_status.value.code == 0
    assert "example:" in capsys.readouterr().out


def test_the_other_tags_have_names_too():
    source, destination = PeerName(1), PeerName(2)
    unicast = encode_unicast(UnicastGossip("c", source, destination, b"p"))
    [one] = describe_bytes(frame(b"\5" + unicast))
    assert (one["tag_name"], one["dst_peer"]) == ("GossipUnicast", "00:00:00:00:00:02")
    [six] = describe_bytes(frame(b"\6" + encode_gossip(Gossip("topology", source, b""))))
    assert (six["tag_name"], six["topology"]) == ("GossipBroadcast", [])
    assert describe_bytes(frame(b"\xee\1"))[0]["tag_name"] == "Unknown"
    assert describe_bytes(frame(b""))[0]["tag"] is None
    assert describe_bytes(frame(b"\2\1"))[0] == {
        "tag": 2,
        "tag_name": "FragmentationReceived",
        "rest_hex": "01",
    }
    assert describe_bytes(frame(b"\7\0\x63"))[0]["meaning"] == "unknown"


def test_the_error_of_bad_input_keeps_its_parts():
    error = debug.DebugInputError("line 1", "wrong")
    assert (error.where, error.reason, str(error)) == ("line 1", "wrong", "line 1: wrong")
