"""Rendered flows are what ovs-ofctl reads; rendered documents keep what was written by hand."""

import shutil
import subprocess

import pytest
from hypothesis import HealthCheck, given, settings
from pipeline_states import all_flows, forwarding_states

from weave_ryu.errors import ConfigError
from weave_ryu.pipeline import render
from weave_ryu.pipeline.cookies import Kind, subject_cookie
from weave_ryu.pipeline.model import (
    ClearInPort,
    Field,
    FlowSpec,
    Goto,
    Learn,
    LearnLoad,
    Load,
    MoveTunnelIds,
    Output,
    OutputMark,
    Resubmit,
    SetTunnel,
    Term,
    ToController,
)
from weave_ryu.pipeline.tables import (
    DST_PEER,
    FROM_TUNNEL,
    KNOWN_PEER,
    KNOWN_PORT,
    ON_TREE,
    OUT_PORT,
    SRC_PEER,
    TABLES,
)

LEARN = Learn(
    "mac",
    Field.ETH_DST,
    (LearnLoad(OUT_PORT, 2), LearnLoad(KNOWN_PORT, 1)),
    subject_cookie(Kind.LEARNT_PORT, 2),
    20,
    300,
)


@pytest.mark.parametrize(
    ("match", "text"),
    [
        ((), ""),
        ((Term(Field.IN_PORT, 3),), "in_port=3"),
        (
            (Term(Field.ETH_DST, "01:80:c2:00:00:00", "ff:ff:ff:ff:ff:f0"),),
            "dl_dst=01:80:c2:00:00:00/ff:ff:ff:ff:ff:f0",
        ),
        (
            (Term(Field.TUN_ID, 0xA000, 0xFFF000), Term(Field.TUN_SRC, "192.0.2.2")),
            "tun_id=0xa000/0xfff000,tun_src=192.0.2.2",
        ),
        ((Term(SRC_PEER, 0xB),), "reg0=0xb/0xfff"),
        ((Term(KNOWN_PEER, 1), Term(FROM_TUNNEL, 0)), "reg3=0x8/0x9"),
        ((Term(OUT_PORT, 0xFFFFFFFE),), "reg2=0xfffffffe/0xffffffff"),
    ],
)
def test_match_is_written_as_ovs_ofctl_reads_it(match, text):
    assert render.match_text(match) == text


@pytest.mark.parametrize(
    ("actions", "text"),
    [
        ((), "drop"),
        ((Output(2), Output(3)), "output:2,output:3"),
        ((OutputMark(OUT_PORT),), "output:NXM_NX_REG2[]"),
        ((ToController(2),), "meter:2,CONTROLLER:65535"),
        ((Load(ON_TREE, 1),), "load:0x1->NXM_NX_REG3[1]"),
        ((ClearInPort(), Goto("flood")), "load:0->NXM_OF_IN_PORT[],goto_table:30"),
        (
            (MoveTunnelIds(SRC_PEER, DST_PEER),),
            "move:NXM_NX_TUN_ID[0..11]->NXM_NX_REG0[0..11],"
            "move:NXM_NX_TUN_ID[12..23]->NXM_NX_REG1[0..11]",
        ),
        (
            (SetTunnel("192.0.2.2", "192.0.2.1", 0x22200A),),
            "set_field:0x22200a->tun_id,set_field:192.0.2.1->tun_src,set_field:192.0.2.2->tun_dst",
        ),
        (
            (SetTunnel("192.0.2.2", "192.0.2.1", None),),
            "set_field:192.0.2.1->tun_src,set_field:192.0.2.2->tun_dst",
        ),
        ((Resubmit("mac"), Goto("forward")), "resubmit(,21),goto_table:22"),
        (
            (LEARN,),
            "learn(table=21,hard_timeout=300,priority=20,cookie=0x5709000200000000,"
            "NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],load:0x2->NXM_NX_REG2[],load:0x1->NXM_NX_REG3[2])",
        ),
    ],
)
def test_actions_are_written_as_ovs_ofctl_reads_them(actions, text):
    assert render.actions_text(actions) == text


def test_flow_has_cookie_place_timeout_and_actions():
    flow = FlowSpec("flood", 7, (Term(Field.IN_PORT, 1),), (Output(2),), Kind.PERMIT, 3, "", 1)
    head, _, rest = render.flow_text(flow).partition(",table")
    assert head.startswith("cookie=0x57070003")
    assert rest == "=30,priority=7,hard_timeout=1,in_port=1 actions=output:2"


def test_flow_for_humans_names_its_tables():
    flow = FlowSpec("lookup", 0, (), (Resubmit("mac"), Goto("forward")), Kind.FRAME, 0, "")
    assert render.flow_text(flow, names=True) == (
        "table=lookup,priority=0 actions=resubmit(,mac),goto_table:forward"
    )


def test_learnt_flow_is_what_the_switch_would_make():
    assert render.learnt_text(LEARN, "02:00:00:00:00:01") == (
        "cookie=0x5709000200000000,table=21,priority=20,hard_timeout=300,dl_dst=02:00:00:00:00:01 "
        "actions=load:0x2->NXM_NX_REG2[],load:0x1->NXM_NX_REG3[2]"
    )


needs_ofctl = pytest.mark.skipif(
    shutil.which("ovs-ofctl") is None, reason="ovs-ofctl is not installed: nothing to read the text"
)


def parsed_by_ofctl(lines):
    return subprocess.run(
        ["ovs-ofctl", "-O", "OpenFlow13", "parse-flows", "-"],
        input="\n".join(lines) + "\n",
        capture_output=True,
        text=True,
        check=False,
    )


@needs_ofctl
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(forwarding_states())
def test_ofctl_accepts_the_flows_of_every_state(state):
    flows = all_flows(state)
    lines = [render.flow_text(flow) for flow in flows]
    learns = [a for flow in flows for a in flow.actions if isinstance(a, Learn)]
    lines += [render.learnt_text(learn, "02:00:00:00:00:01") for learn in learns]
    result = parsed_by_ofctl(lines)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("ADD") == len(lines)


@needs_ofctl
def test_ofctl_refuses_what_is_wrong_so_that_its_acceptance_means_something():
    assert parsed_by_ofctl(["table=0,nonsense=1 actions=drop"]).returncode != 0


def test_blocks_cover_every_table_and_mark():
    blocks = render.blocks()
    for table in TABLES:
        assert f"**Table {table.number}.**" in blocks[f"table:{table.name}"]
        assert f"`{table.name}`" in blocks["tables"]
        assert f'"{table.number} {table.name}"' in blocks["graph"]


def test_every_table_of_the_example_shows_a_flow():
    for table in TABLES:
        assert render.example_text(table), table.name


def test_update_fills_blocks_and_keeps_the_prose():
    document = (
        "# Title\n\n<!-- generated: marks -->\nOUTDATED\n<!-- /generated -->\n\n"
        "<!-- prose: mac -->\nWritten by hand.\n<!-- /prose -->\n"
    )
    updated = render.update(document)
    assert "OUTDATED" not in updated
    assert "`src_peer`" in updated
    assert render.prose(updated)["mac"] == "Written by hand."


def test_update_appends_what_is_missing_and_then_changes_nothing_more():
    once = render.update("# Title\n")
    assert set(render.prose(once)) == {table.name for table in TABLES}
    assert render.update(once) == once


def test_update_refuses_a_block_that_nothing_generates():
    with pytest.raises(ConfigError, match="tabels"):
        render.update("<!-- generated: tabels -->\n<!-- /generated -->\n")


def test_main_rewrites_the_file(tmp_path, capsys):
    path = tmp_path / "pipeline.md"
    assert render.main([str(path)]) == 0
    assert path.read_text() == render.update(path.read_text())
    assert render.main([]) == 2
    assert "usage" in capsys.readouterr().err
