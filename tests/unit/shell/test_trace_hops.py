"""Traces: the switch's text, the way through the mesh, and every way to ask wrongly."""

import contextlib
import json
import socket
import threading

import pytest
from api_world import OWN, W
from hypothesis import given, settings
from hypothesis import strategies as st
from trace_world import HOST, OTHER, FakeTracer, Mesh

from weave_ryu.errors import OpenFlowError
from weave_ryu.names import PeerName
from weave_ryu.pipeline import render, rules
from weave_ryu.pipeline.cookies import flow_cookie
from weave_ryu.shell import tracetext, tracing
from weave_ryu.shell.limits import Bucket
from weave_ryu.shell.tracing import BROADCAST, Gateway

A, B = PeerName.parse("7a:00:00:00:00:0a"), PeerName.parse("7a:00:00:00:00:0b")
NAMES = {A: "A", B: "B", W: "W"}

FLOODED = """\
Flow: in_port=2,vlan_tci=0x0000,dl_src=02:c0:00:00:00:01,dl_dst=ff:ff:ff:ff:ff:ff,dl_type=0x0000

bridge("weave")
---------------
 0. in_port=2, priority 200, cookie 0x570200026dcde628
    load:0xd80->NXM_NX_REG0[0..11]
    learn(table=21,hard_timeout=300,priority=20,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[])
     >> suppressing side effects, so learn action ignored
    goto_table:30
30. priority 0, cookie 0x570100003af3fa93
    resubmit(,33)
    33. reg0=0xd80/0xfff, priority 100, cookie 0x57040d80717cfd4f
            set_field:0xbf5d80->tun_id
            set_field:10.99.0.1->tun_src
            set_field:10.99.0.2->tun_dst
            output:1
             -> output to native tunnel
             -> tunneling to 10.99.0.2 via br-phy

            bridge("br-phy")
            ----------------
                 0. priority 0
                    NORMAL
                     -> forwarding to learned port
                    output:9
            set_field:0x1a0d80->tun_id
            set_field:10.99.0.3->tun_dst
            output:1
             -> output to kernel tunnel
    resubmit(,21)
    21. No match.
            drop
    resubmit(,31)
    31. priority 0, cookie 0x57010000d97321a4
            output:2
             >> skipping output to input port
            LOCAL
    goto_table:41
41. reg2=0x1, priority 200, cookie 0x5707000179123b8c
    output:NXM_NX_REG2[]
     -> output port is 7
    resubmit(,40)
40. reg2=0x1, priority 100, cookie 0x5705000188894532
    drop

Final flow: reg0=0xd80,in_port=2
Megaflow: recirc_id=0,eth,in_port=2
Datapath actions: drop
"""


# What the switch says.


def test_copies_have_the_tunnel_fields_of_their_moment():
    walk = tracetext.parse(FLOODED, "weave")
    assert [(c.port, c.tun_src, c.tun_dst, c.tun_id) for c in walk.copies] == [
        (1, "10.99.0.1", "10.99.0.2", 0xBF5D80),
        (1, "10.99.0.1", "10.99.0.3", 0x1A0D80),
        (tracetext.LOCAL_PORT, "10.99.0.1", "10.99.0.3", 0x1A0D80),
        (7, "10.99.0.1", "10.99.0.3", 0x1A0D80),
    ]


def test_rows_are_those_of_the_own_bridge():
    walk = tracetext.parse(FLOODED, "weave")
    assert [row.table for row in walk.rows] == [0, 30, 33, 21, 31, 41, 40]
    assert [row.table for row in walk.rows if row.drops] == [40]
    assert walk.rows[0].cookie == 0x570200026DCDE628


def test_relayed_frame_keeps_the_tunnel_id_that_it_came_with():
    text = 'bridge("weave")\n---\n 0. priority 1, cookie 0x1\n    output:3\n'
    (copy,) = tracetext.parse(text, "weave", 0xABC).copies
    assert copy.tun_id == 0xABC


@pytest.mark.parametrize("text", ["", "weave: unknown bridge", 'bridge("other")\n---\n 0. drop'])
def test_what_is_no_trace_is_refused(text):
    with pytest.raises(tracetext.UnreadableTraceError):
        tracetext.parse(text, "weave")


@given(st.text(max_size=300), st.randoms())
@settings(max_examples=200, deadline=None)
def test_no_text_breaks_the_reader(text, rng):
    lines = (FLOODED + text).splitlines()
    rng.shuffle(lines)
    with contextlib.suppress(tracetext.UnreadableTraceError):
        tracetext.parse("\n".join(lines), "weave")


# The way through the mesh.


def tunnel(peer, came="10.0.0.1"):
    return {"tunnel": str(peer), "tun_src": came, "tun_dst": "10.0.0.2", "tun_id": 7}


def follow(mesh, starts, to=BROADCAST, gateways=()):
    return tracing.follow(starts, HOST, to, gateways, NAMES.__getitem__, mesh)


def test_frame_goes_from_peer_to_peer():
    mesh = Mesh(
        {
            (W, "c1"): {"path": [{"table": "classify", "drop": None}], "copies": [tunnel(A)]},
            (A, "10.0.0.1"): {"path": [], "copies": [{"port": "gw0", "segment": "vlan"}]},
        }
    )
    trace = follow(mesh, [(W, "c1")], OTHER)
    assert [step["nick_name"] for step in trace.steps] == ["W", "A"]
    assert mesh.asked[1][1] == {
        "tun_src": "10.0.0.1", "tun_dst": "10.0.0.2", "tun_id": 7, "src": HOST, "dst": OTHER,
    }  # fmt: skip
    (place,) = trace.delivered
    assert (place["nick_name"], place["port"], place["segment"]) == ("A", "gw0", "vlan")
    assert trace.problems == []


def test_broadcast_on_a_segment_is_heard_by_its_other_gateways():
    drop = {"table": "gate_in", "why": "not active", "drop": "not_active_in"}
    mesh = Mesh(
        {
            (A, "c1"): {"path": [], "copies": [{"port": "gw0", "segment": "vlan"}]},
            (B, "gw9"): {"path": [drop], "copies": []},
        }
    )
    gateways = [Gateway(A, "gw0", "vlan"), Gateway(B, "gw9", "vlan"), Gateway(B, "gw8", "lan")]
    trace = follow(mesh, [(A, "c1")], gateways=gateways)
    assert trace.steps[1]["drops"] == [drop]
    assert "segment vlan" in trace.steps[1]["how"]
    assert follow(mesh, [(A, "c1")], OTHER, gateways).steps[1:] == []


def test_loop_ends_and_is_told():
    mesh = Mesh(
        {
            (A, "c1"): {"path": [], "copies": [tunnel(B)]},
            (B, "10.0.0.1"): {"path": [], "copies": [tunnel(A, "10.0.0.2")]},
            (A, "10.0.0.2"): {"path": [], "copies": [tunnel(B)]},
        }
    )
    trace = follow(mesh, [(A, "c1")])
    assert len(trace.steps) == 3
    assert trace.problems == ["B gets the frame twice: from A by the mesh"]


def test_endless_ways_are_cut():
    numbers = iter(range(10**6))

    def ask(questions):
        return [
            {"copies": [tunnel(B, f"10.0.{next(numbers)}.1") for _ in range(3)]} for _ in questions
        ]

    trace = tracing.follow([(A, "c1")], HOST, BROADCAST, (), NAMES.__getitem__, ask)
    assert len(trace.steps) < 3 * tracing.MAX_STEPS
    assert trace.problems[-1].startswith("given up")


def test_peer_that_does_not_answer_is_named():
    trace = follow(Mesh({(A, "c1"): {"copies": [tunnel(W)]}}), [(A, "c1")])
    assert trace.steps[1]["error"] == tracing.SILENT


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
lies = st.fixed_dictionaries(
    {},
    optional={
        "error": anything,
        "path": st.lists(st.fixed_dictionaries({}, optional={"table": anything, "drop": anything})),
        "copies": st.lists(
            st.fixed_dictionaries(
                {},
                optional={
                    "tunnel": anything | st.just(str(A)),
                    "port": anything,
                    "segment": anything,
                },
            ),
            max_size=3,
        )
        | anything,
    },
)


@given(lies)
@settings(max_examples=150, deadline=None)
def test_no_answer_of_another_peer_breaks_a_trace(answer):
    from weave_ryu.cli.trace import render
    from weave_ryu.shell.traceview import summary

    gateways = [Gateway(A, "g", "vlan")]
    trace = tracing.follow(
        [(A, "c1")], HOST, BROADCAST, gateways, NAMES.__getitem__, lambda qs: [answer] * len(qs)
    )
    text = summary(trace, HOST, [(A, "c1")], NAMES)
    render({"source": HOST, "to": HOST, "summary": text, **vars_of(trace)}, True)


def vars_of(trace):
    return {"steps": trace.steps, "delivered": trace.delivered, "problems": trace.problems}


# Over the API, with the daemon's own switch.


@pytest.fixture
def traced(daemon):
    daemon.tracer = FakeTracer()
    daemon.registry = daemon.gateways.core.registry
    return daemon.tracer.mesh


def test_unicast_that_arrives(call, traced):
    traced.answers[OWN, "eth1"] = {"path": [], "copies": [{"port": "c1"}]}
    found = json.loads(call(f"/trace?from={HOST}&to={OTHER}").body)
    assert found["summary"] == f"{OTHER} is reached by A/c1"
    assert found["source"] == HOST


def test_unicast_that_is_dropped_says_why(call, traced):
    row = {"table": "gate_in", "why": "eth1 is not active", "drop": "not_active_in"}
    traced.answers[OWN, "eth1"] = {"path": [row], "copies": []}
    found = json.loads(call(f"/trace?from=A/eth1&to={OTHER}").body)
    assert found["summary"].endswith("is not reached; A drops it in gate_in: eth1 is not active")


def test_copy_to_a_port_twice_is_shouted(call, traced):
    traced.answers[OWN, "c1"] = {"copies": [{"port": "x"}, {"port": "x"}, {"port": "y"}]}
    found = json.loads(call(f"/trace?from={OTHER}&broadcast=true").body)
    assert found["summary"] == "2 port(s) get it; TWICE: A/x"


@pytest.mark.parametrize(
    ("query", "status", "field"),
    [
        ("", 422, "from"),
        ("to=x", 422, "from"),
        ("from=x&to=02:00:00:00:00:01", 422, "from"),
        (f"from={HOST}", 422, "to"),
        (f"from={HOST}&to=", 422, "to"),
        (f"from={HOST}&to=A/eth1", 422, "to"),
        (f"from={HOST}&to={HOST}0", 422, "to"),
        ("from=02:00:00:00:00:99&broadcast=true", 422, "from"),
        ("from=nobody/eth1&broadcast=true", 422, "from"),
        (f"from={HOST}&broadcast=yes", 422, "broadcast"),
        (f"from={HOST}&to={OTHER}&table=3", 422, "table"),
        (f"from={HOST}&from={HOST}&to={OTHER}", 422, "from"),
        ("from=%ff", 400, ""),
        (f"from={'x' * 3000}/y&broadcast=true", 422, "from"),
    ],
)
def test_wrong_question_is_refused(call, traced, query, status, field):
    response = call(f"/trace?{query}")
    assert response.status_int == status, response.text
    assert json.loads(response.body)["error"]["field"] == field
    assert len(response.text) < 1000


def test_traces_are_limited(call, traced):
    statuses = [call(f"/trace?from=A/eth1&to={OTHER}").status_int for _ in range(10)]
    assert statuses[0] == 200
    assert statuses[-1] == 429


def test_bucket_fills_again():
    bucket = Bucket(2.0, 3)
    assert [bucket.take(0.0) for _ in range(4)] == [True, True, True, False]
    assert bucket.is_empty(0.4)
    assert bucket.take(0.5)
    assert not bucket.take(0.5)
    assert not bucket.take(0.1)  # a clock that goes back gives nothing


# The daemon's part.


@pytest.fixture
def tracer(daemon, tmp_path):
    from types import SimpleNamespace

    from weave_ryu.shell.coordinator import BridgePorts
    from weave_ryu.shell.traced import Tracer

    daemon.sent = []
    daemon.router = SimpleNamespace(
        name=OWN, gossip_unicast=lambda channel, peer, payload, now: daemon.sent.append(payload)
    )
    gateway = SimpleNamespace(number=3, name="eth1", segment="vlan")
    daemon.bridge_ports = lambda: BridgePorts({6784: 1}, (), (gateway,))
    (tmp_path / "ovs-vswitchd.pid").write_text("77\n")
    return Tracer(daemon, f"unix:{tmp_path}/db.sock")


@pytest.fixture
def vswitchd(tmp_path):
    """Answers one request on the control socket with the given reply."""
    threads = []

    def serve(reply):
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(tmp_path / "ovs-vswitchd.77.ctl"))
        listener.listen()

        def answer():
            connection, _ = listener.accept()
            with connection, listener:
                asked.append(json.loads(connection.recv(65536)))
                connection.sendall(reply)

        threads.append(threading.Thread(target=answer))
        threads[-1].start()

    asked = []
    serve.asked = asked
    yield serve
    for thread in threads:
        thread.join(5)


def test_own_switch_is_asked_and_read(tracer, vswitchd, daemon):
    daemon.forwarder.desired = rules.flows(render.EXAMPLE)
    flow = next(f for f in daemon.forwarder.desired if f.table == "gate_in" and f.priority == 100)
    text = (
        'bridge("weave")\n---\n'
        f"10. in_port=3, priority 100, cookie {flow_cookie(flow):#x}\n    drop\n"
        "22. priority 9, cookie 0x1\n    output:3\n    output:1\n    LOCAL\n    output:9\n"
    )
    vswitchd(json.dumps({"id": 0, "error": None, "result": text}).encode())
    answer = tracer.answer({"port": "eth1", "src": HOST, "dst": OTHER})
    flow_asked = vswitchd.asked[0]["params"]
    assert flow_asked == ["weave", f"dl_src={HOST},dl_dst={OTHER},in_port=3"]
    assert answer["path"][0] == {"table": "gate_in", "why": flow.why, "drop": "not_active_in"}
    assert [copy.get("port") for copy in answer["copies"]] == ["eth1", None, "weave", "9"]
    assert answer["copies"][0]["segment"] == "vlan"


def test_refusal_of_the_switch_is_an_answer(tracer, vswitchd):
    vswitchd(json.dumps({"id": 0, "error": "weave: unknown bridge\n", "result": None}).encode())
    answer = tracer.answer({"port": "eth1", "src": HOST, "dst": OTHER})
    assert "unknown bridge" in answer["error"]


@pytest.mark.parametrize("reply", [b"", b"{", b"nonsense"])
def test_switch_that_talks_nonsense_is_an_error(tracer, vswitchd, reply):
    vswitchd(reply)
    assert (
        "ended the conversation"
        in tracer.answer({"port": "eth1", "src": HOST, "dst": OTHER})["error"]
    )


def test_without_switch_there_is_an_error(tracer, tmp_path):
    question = {"port": "eth1", "src": HOST, "dst": OTHER}
    assert "does not answer" in tracer.answer(question)["error"]
    (tmp_path / "ovs-vswitchd.pid").write_text("x")
    assert "no ovs-vswitchd runs" in tracer.answer(question)["error"]


def test_remote_database_is_no_place_for_a_trace(daemon):
    from weave_ryu.shell.traced import TraceError, unixctl

    with pytest.raises(TraceError, match=r"tcp:192\.0\.2\.1:6640"):
        unixctl("tcp:192.0.2.1:6640", "ofproto/trace", [])


@pytest.mark.parametrize(
    "question",
    [
        {},
        {"find": 3},
        {"find": "02:00"},
        {"port": "eth1", "src": HOST},
        {"port": "eth1", "src": f"{HOST},actions=drop", "dst": OTHER},
        {"port": "eth9", "src": HOST, "dst": OTHER},
        {"port": None, "src": HOST, "dst": OTHER},
        {"tun_src": "1.2.3.4,x", "tun_dst": "1.2.3.4", "tun_id": 1, "src": HOST, "dst": OTHER},
        {"tun_src": "1.2.3.4", "tun_dst": "1.2.3.4", "tun_id": 1 << 24, "src": HOST, "dst": OTHER},
        {"tun_src": "1.2.3.4", "tun_dst": "1.2.3.4", "tun_id": "1", "src": HOST, "dst": OTHER},
    ],
)
def test_wrong_question_of_another_peer_is_an_answer(tracer, question):
    assert tracer.answer(question)["error"]


def test_mac_is_found_behind_own_ports_only(tracer):
    assert tracer.answer({"find": "02:00:00:00:00:02"}) == {"port": "eth1"}
    assert tracer.answer({"find": "02:00:00:00:00:01"}) == {"port": None}  # behind a peer


@pytest.mark.parametrize(
    "payload",
    [b"", b"x", b"3", b"[]", b"{}", b'{"id": 1}', b'{"id": "1", "answer": {}}', b"[" * 70000,
     b'{"id": 1, "answer": 3}', b'{"id": 9, "answer": {}}', b'{"id": 1, "question": []}'],
)  # fmt: skip
def test_malformed_message_is_ignored(tracer, daemon, payload):
    tracer.received(W, payload)
    assert daemon.sent == []


def test_refusing_switch_is_an_openflow_error(tracer, vswitchd, tmp_path):
    from weave_ryu.shell.traced import unixctl

    vswitchd(b'{"id": 0, "error": "no\\n", "result": null}')
    with pytest.raises(OpenFlowError, match="no"):
        unixctl(f"unix:{tmp_path}/db.sock", "nonsense", [])


def test_a_peer_that_multiplies_a_trace_is_asked_about_as_much_as_about_any_other():
    asked = []

    def ask(questions):
        asked.append(len(questions))
        return [
            {
                "path": [{"table": "x" * 300, "why": "y"}] * 5000,
                "copies": [{"port": "p", "host": True}] * 5000
                + [
                    {"tunnel": str(PeerName(n + 1)), "tun_id": number * 60000 + n}
                    for n in range(60000)
                ],
            }
            for number, _ in enumerate(questions)
        ]

    trace = tracing.follow([(A, "c1")], HOST, BROADCAST, [], str, ask)
    assert sum(asked) <= tracing.MAX_STEPS
    assert len(trace.steps) <= tracing.MAX_STEPS
    assert len(trace.delivered) <= tracing.MAX_PLACES + tracing.MAX_COPIES
    assert max(len(step["path"]) for step in trace.steps) <= tracing.MAX_ROWS


def test_many_questions_in_one_round_are_cut_within_it():
    asked = []

    def ask(questions):
        asked.append(len(questions))
        return [
            {"copies": [{"tunnel": str(W), "tun_id": 600 * number + n} for n in range(600)]}
            for number, _ in enumerate(questions)
        ]

    trace = tracing.follow([(A, "c1")], HOST, OTHER, [], str, ask)
    assert asked[:2] == [1, 600]
    assert sum(asked) == tracing.MAX_STEPS
    assert trace.problems[-1].startswith("given up")
