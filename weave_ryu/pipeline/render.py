"""Flows as ovs-ofctl(8) text, and the reference of the pipeline as Markdown and Mermaid.

``python -m weave_ryu.pipeline.render docs/reference/pipeline.md`` rewrites the generated blocks of
the document and leaves everything else as it is::

    <!-- generated: NAME -->        <!-- prose: TABLE -->
    made from tables.py             written by hand, one for each table
    <!-- /generated -->             <!-- /prose -->
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path

from weave_ryu.errors import ConfigError
from weave_ryu.gate import Gate
from weave_ryu.names import PeerName, ShortId
from weave_ryu.pipeline import cookies, rules
from weave_ryu.pipeline.model import (
    Action,
    ClearInPort,
    Field,
    FlowSpec,
    Goto,
    Learn,
    Load,
    Mark,
    Match,
    MoveTunnelIds,
    Output,
    OutputMark,
    Resubmit,
    SetTunnel,
    Table,
    ToController,
)
from weave_ryu.pipeline.state import ForwardingState, GatewayPort, Hop, LocalPort, RemotePeer
from weave_ryu.pipeline.tables import BY_NAME, MAC_AGE_S, MARKS, METER_RATES, TABLES

# ovs-ofctl text.


def flow_text(flow: FlowSpec, *, names: bool = False) -> str:
    """A flow as ``ovs-ofctl add-flows`` reads it.

    Args:
        flow: the flow.
        names: write tables by name, as ``dump-flows --names`` does, and leave the cookie out: for
            humans, as a switch knows the names only if they are set in its database.
    """
    table = flow.table if names else BY_NAME[flow.table].number
    parts = [] if names else [f"cookie={cookies.flow_cookie(flow):#018x}"]
    parts += [f"table={table}", f"priority={flow.priority}"]
    if flow.hard_timeout_s:
        parts.append(f"hard_timeout={flow.hard_timeout_s}")
    parts += _match_parts(flow.match)
    return f"{','.join(parts)} actions={actions_text(flow.actions, names=names)}"


def learnt_text(learn: Learn, mac: str, *, names: bool = False) -> str:
    """The flow that the switch makes when it runs a ``learn()`` on a frame of this source."""
    table = learn.table if names else BY_NAME[learn.table].number
    parts = [] if names else [f"cookie={learn.cookie:#018x}"]
    parts += [f"table={table}", f"priority={learn.priority}"]
    parts += [f"hard_timeout={learn.hard_timeout_s}", f"{learn.by.value}={mac}"]
    loads = tuple(Load(load.mark, load.value) for load in learn.loads)
    return f"{','.join(parts)} actions={actions_text(loads)}"


def match_text(match: Match) -> str:
    """The conditions as ovs-ofctl(8) writes them; marks of one register are joined."""
    return ",".join(_match_parts(match))


def _match_parts(match: Match) -> list[str]:
    parts: list[str] = []
    registers: dict[int, tuple[int, int]] = {}
    for term in match:
        if isinstance(term.what, Mark):
            value, mask = registers.get(term.what.register, (0, 0))
            shifted = int(term.value) << term.what.first_bit
            registers[term.what.register] = value | shifted, mask | term.what.mask
        else:
            parts.append(f"{term.what.value}={_masked(term.what, term.value, term.mask)}")
    for register, (value, mask) in sorted(registers.items()):
        parts.append(f"reg{register}={value:#x}/{mask:#x}")
    return parts


def _masked(what: Field, value: int | str, mask: int | str | None) -> str:
    def text(number: int | str) -> str:
        is_hex = what in (Field.TUN_ID, Field.ETH_TYPE) and isinstance(number, int)
        return f"{number:#x}" if is_hex else str(number)

    return text(value) if mask is None else f"{text(value)}/{text(mask)}"


def actions_text(actions: Iterable[Action], *, names: bool = False) -> str:
    """The actions as ovs-actions(7) writes them, in the order of OpenFlow instructions.

    A meter comes before all else and a goto after it, as in `shell/encode.py`.
    """
    actions = tuple(actions)
    parts = [f"meter:{a.meter}" for a in actions if isinstance(a, ToController)]
    for action in actions:
        parts += _action_parts(action, names)
    return ",".join(parts) or "drop"


def _action_parts(action: Action, names: bool) -> list[str]:
    match action:
        case Output(port):
            return [f"output:{port}"]
        case OutputMark(mark):
            return [f"output:{mark.nxm}"]
        case ToController():
            return ["CONTROLLER:65535"]
        case Load(mark, value):
            return [f"load:{value:#x}->{mark.nxm}"]
        case ClearInPort():
            return ["load:0->NXM_OF_IN_PORT[]"]
        case MoveTunnelIds(source, destination):
            return [
                f"move:NXM_NX_TUN_ID[0..11]->{source.nxm}",
                f"move:NXM_NX_TUN_ID[12..23]->{destination.nxm}",
            ]
        case SetTunnel(remote_ip, local_ip, tun_id):
            ids = [] if tun_id is None else [f"set_field:{tun_id:#x}->tun_id"]
            return [*ids, f"set_field:{local_ip}->tun_src", f"set_field:{remote_ip}->tun_dst"]
        case Resubmit(table):
            return [f"resubmit(,{_table(table, names)})"]
        case Learn():
            return [_learn(action, names)]
        case Goto(table):
            return [f"goto_table:{_table(table, names)}"]


def _table(name: str, names: bool) -> str:
    return name if names else str(BY_NAME[name].number)


_LEARN_BY = {Field.ETH_SRC: "NXM_OF_ETH_SRC[]", Field.ETH_DST: "NXM_OF_ETH_DST[]"}


def _learn(action: Learn, names: bool) -> str:
    parts = [
        f"table={_table(action.table, names)}",
        f"hard_timeout={action.hard_timeout_s}",
        f"priority={action.priority}",
        f"cookie={action.cookie:#018x}",
    ]
    by = _LEARN_BY[action.by]
    parts.append(by if action.by is Field.ETH_SRC else f"{by}=NXM_OF_ETH_SRC[]")
    parts += [f"load:{load.value:#x}->{load.mark.nxm}" for load in action.loads]
    return f"learn({','.join(parts)})"


# The example of the documentation: gateway A, which forwards, in a small mesh.

_HOP_W = Hop(ShortId(0x222), "192.0.2.2", "192.0.2.1", 1)
_HOP_B = Hop(ShortId(0xB), "192.0.2.3", "192.0.2.1", 1)
_NAMES = {letter: PeerName(0x7A0000000000 + ord(letter)) for letter in "BOWX"}

EXAMPLE = ForwardingState(
    short_id=ShortId(0xA),
    tunnel_ports=(1,),
    neighbours=(_HOP_W, _HOP_B),
    pending=("192.0.2.4",),
    peers=(
        RemotePeer(_NAMES["B"], "B", _HOP_B.short_id, _HOP_B, _HOP_B, ()),
        RemotePeer(_NAMES["W"], "W", _HOP_W.short_id, _HOP_W, _HOP_W, (_HOP_B,)),
        RemotePeer(_NAMES["X"], "X", ShortId(0x333), _HOP_W, _HOP_W, (_HOP_B,)),
        RemotePeer(_NAMES["O"], "office", ShortId(0x5E7), _HOP_B, _HOP_B, (_HOP_W,), True),
    ),
    broadcast_hops=(_HOP_W, _HOP_B),
    local_ports=(LocalPort(2, "c1"),),
    gateway_ports=(GatewayPort(3, "eth1", "vlan", ShortId(0x513), hello=True),),
)
"""What gateway A knows in the example: neighbours W and B, X behind W, and behind B a segment that
A is no gateway of."""

EXAMPLE_MAC = "02:00:00:00:00:01"


def example_flows() -> list[FlowSpec]:
    """All flows of the example, its gateway port being active."""
    flows = rules.flows(EXAMPLE)
    flows += rules.permits(EXAMPLE.gateway_ports[0], Gate.OPEN, 1)
    return sorted(flows, key=lambda f: (BY_NAME[f.table].number, -f.priority, repr(f.match)))


def example_text(table: Table) -> str:
    """The example's flows of one table, each with its reason as a comment above it."""
    flows = example_flows()
    lines: list[str] = []
    for flow in flows:
        if flow.table == table.name:
            lines += [f"# {flow.why}", flow_text(flow, names=True)]
    for flow in flows:
        for action in flow.actions:
            if isinstance(action, Learn) and action.table == table.name:
                lines.append(f"# learnt in {flow.table}: {flow.why}")
                lines.append(learnt_text(action, EXAMPLE_MAC, names=True))
    return "\n".join(lines)


# Markdown and Mermaid.


def tables_markdown() -> str:
    """All tables in a table."""
    rows = [(f"{t.number}", f"[`{t.name}`](#{t.name})", t.purpose, t.miss) for t in _ordered()]
    return _markdown_table(("id", "table", "purpose", "a frame that no flow matches is"), rows)


def marks_markdown() -> str:
    """All register marks in a table."""
    rows = [(f"`{m.name}`", f"`{m.nxm}`", f"{m.bits}", m.meaning) for m in MARKS]
    return _markdown_table(("mark", "where", "bits", "meaning"), rows)


def cookies_markdown() -> str:
    """The layout of cookies, from the module's own documentation, and all kinds."""
    _, _, after = (cookies.__doc__ or "").partition("::\n")
    drawing, _, prose = after.strip("\n").partition("\n\n")
    drawing = "\n".join(line.removeprefix("    ") for line in drawing.splitlines())
    prose = re.sub(r"(?<!\n)\n(?!\n)", " ", prose.strip())
    rows = [
        (f"`{kind.value:#04x}`", f"`{kind.name.lower()}`", "no" if _is_own_life(kind) else "yes")
        for kind in cookies.Kind
    ]
    table = _markdown_table(("kind", "name", "kept equal to what is desired"), rows)
    return f"```text\n{drawing}\n```\n\n{prose}\n\n{table}"


def _is_own_life(kind: cookies.Kind) -> bool:
    return kind in cookies.UNMANAGED


def limits_markdown() -> str:
    """Meters and ages in a table."""
    rows = [(f"meter {meter}", f"{rate} packets per second") for meter, rate in METER_RATES.items()]
    rows.append(("age of a learnt MAC", f"{MAC_AGE_S} s after its last frame"))
    return _markdown_table(("what", "limit"), rows)


def graph_mermaid() -> str:
    """Which table a frame continues in (solid), consults (dotted), or learns into (thick)."""
    lines = ["flowchart TD"]
    for table in _ordered():
        opening, closing = ("[(", ")]") if table.learnt else ("[", "]")
        lines.append(f'    {table.name}{opening}"{table.number} {table.name}"{closing}')
    for source, target, arrow in sorted(edges(example_flows()), key=_edge_order):
        lines.append(f"    {source} {arrow} {target}")
    return "\n".join(lines)


def edges(flows: Iterable[FlowSpec]) -> set[tuple[str, str, str]]:
    """(from, to, arrow) of all gotos, resubmits and learn actions of some flows."""
    found: set[tuple[str, str, str]] = set()
    for flow in flows:
        for action in flow.actions:
            match action:
                case Goto(table):
                    found.add((flow.table, table, "-->"))
                case Resubmit(table):
                    found.add((flow.table, table, "-.->"))
                case Learn(table=table):
                    found.add((flow.table, table, "==>"))
    return found


def _edge_order(edge: tuple[str, str, str]) -> tuple[int, int, str]:
    return BY_NAME[edge[0]].number, BY_NAME[edge[1]].number, edge[2]


def table_markdown(table: Table) -> str:
    """What is declared of one table, and its flows in the example."""
    uses = ", ".join(_field_name(what) for what in table.matches)
    goes_to = ", ".join(f"[`{name}`](#{name})" for name in table.goes_to)
    learnt = " Its flows are made by the switch itself." if table.learnt else ""
    return "\n".join(
        (
            f"**Table {table.number}.** {table.purpose}{learnt}",
            "",
            f"- matches: {uses or 'nothing'}",
            f"- continues in, consults or learns into: {goes_to or 'no other table'}",
            f"- a frame that no flow matches is {table.miss}",
            "",
            "```text",
            example_text(table),
            "```",
        )
    )


def _field_name(what: Field | Mark) -> str:
    return f"mark `{what.name}`" if isinstance(what, Mark) else f"`{what.value}`"


def _ordered() -> list[Table]:
    return sorted(TABLES, key=lambda table: table.number)


def _markdown_table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [f"| {' | '.join(header)} |", f"|{'---|' * len(header)}"]
    lines += [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows]
    return "\n".join(lines)


# The document.

_BLOCK = re.compile(r"(<!-- generated: (\S+) -->\n).*?(<!-- /generated -->)", re.DOTALL)
_PROSE = re.compile(r"<!-- prose: (\S+) -->\n(.*?)<!-- /prose -->", re.DOTALL)


def blocks() -> dict[str, str]:
    """All generated blocks by name."""
    found = {
        "tables": tables_markdown(),
        "graph": f"```mermaid\n{graph_mermaid()}\n```",
        "marks": marks_markdown(),
        "cookies": cookies_markdown(),
        "limits": limits_markdown(),
    }
    return found | {f"table:{table.name}": table_markdown(table) for table in _ordered()}


def update(document: str) -> str:
    """The document with all generated blocks as they should be; missing ones are appended.

    Raises:
        ConfigError: the document has a generated block that nothing generates.
    """
    wanted = blocks()

    def fill(found: re.Match[str]) -> str:
        name = found[2]
        if name not in wanted:
            reason = f"nothing generates this: remove the block (known are {', '.join(wanted)})"
            raise ConfigError("generated block", name, reason)
        return f"{found[1]}{wanted[name]}\n{found[3]}"

    result = _BLOCK.sub(fill, document)
    present = {found[2] for found in _BLOCK.finditer(document)}
    for name, content in wanted.items():
        if name not in present:
            heading = name.removeprefix("table:")
            result += f"\n## {heading}\n\n<!-- generated: {name} -->\n{content}\n"
            result += "<!-- /generated -->\n"
            if name.startswith("table:") and heading not in prose(document):
                result += f"\n<!-- prose: {heading} -->\n<!-- /prose -->\n"
    return result


def prose(document: str) -> dict[str, str]:
    """The hand-written blocks of a document by table."""
    return {name: text.strip() for name, text in _PROSE.findall(document)}


def main(arguments: list[str]) -> int:
    """Rewrite the document that is named."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m weave_ryu.pipeline.render docs/reference/pipeline.md\n")
        return 2
    path = Path(arguments[0])
    before = path.read_text(encoding="utf-8") if path.exists() else "# The OpenFlow pipeline\n"
    path.write_text(update(before), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
