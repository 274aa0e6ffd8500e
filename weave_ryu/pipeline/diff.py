"""From what is in the switch to what should be there, with as few changes as possible."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from weave_ryu.pipeline import cookies
from weave_ryu.pipeline.model import FlowSpec
from weave_ryu.pipeline.tables import BY_NAME


@dataclass(frozen=True, slots=True, order=True)
class InstalledFlow:
    """A flow as the switch reports it: enough to compare and to delete it.

    Args:
        table: table number.
        priority: its priority.
        cookie: its cookie; the fingerprint in it stands for match and actions.
    """

    table: int
    priority: int
    cookie: int


@dataclass(frozen=True, slots=True)
class BundlePlan:
    """One atomic change.

    Args:
        add: flows to add; each replaces a flow with the same table, match and priority.
        delete: flows to delete by table and exact cookie.
    """

    add: tuple[FlowSpec, ...] = ()
    delete: tuple[InstalledFlow, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.add or self.delete)


def installed(flow: FlowSpec) -> InstalledFlow:
    """How the switch will report a flow."""
    return InstalledFlow(BY_NAME[flow.table].number, flow.priority, cookies.flow_cookie(flow))


def plan(
    present: Iterable[InstalledFlow],
    desired: Iterable[FlowSpec],
    keep: Callable[[cookies.Kind], bool] = lambda _kind: False,
) -> BundlePlan:
    """The difference.

    Args:
        present: all flows of the switch; those of other owners and those that live by their own
            rules (permits, learnt flows) are left alone.
        desired: what should be there.
        keep: says of a kind whether flows that are no longer desired stay for now (a daemon that
            has just started does not yet know the mesh, but its predecessor's flows do).
    """
    wanted = {installed(flow): flow for flow in desired}
    managed = {flow for flow in present if _is_managed(flow.cookie)}
    stale = [
        flow for flow in managed - wanted.keys() if not keep(cookies.Kind(flow.cookie >> 48 & 0xFF))
    ]
    add = tuple(flow for key, flow in wanted.items() if key not in managed)
    return BundlePlan(add, tuple(sorted(stale)))


def _is_managed(cookie: int) -> bool:
    parsed = cookies.parse(cookie)
    return parsed is not None and parsed[0] not in cookies.UNMANAGED
