"""Keeps the flows of the switch equal to what the mesh and the ports demand."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import structlog

from weave_ryu.errors import OpenFlowError
from weave_ryu.names import ShortId
from weave_ryu.pipeline import cookies, diff, rules
from weave_ryu.pipeline.audit import FlowAudit
from weave_ryu.pipeline.cookies import KIND_MASK, SUBJECT_MASK, Kind, subject_cookie
from weave_ryu.pipeline.model import FlowSpec
from weave_ryu.pipeline.state import ForwardingState
from weave_ryu.pipeline.tables import BY_NUMBER, REVERSE_PATH
from weave_ryu.shell import hub
from weave_ryu.shell.openflow import Switch

_log = structlog.get_logger()

RETRY_S = 0.2

AUDIT_EVERY_S = 2.0
"""Between two looks whether the switch still holds what it was given."""

AUDIT_SOON_S = 0.25
"""After a change of flows."""

AUDIT_SHARE = 0.02
"""Of the time at most is spent with that: where it takes long, it is done less often."""

LOST_AFTER_S = 2.0
"""A switch whose flows are not back after so long cannot be a gateway's."""

FORGET_AGAIN_AFTER_S = 0.6
"""The switch may learn from frames of before up to half a second later, when it credits them to
the flows that they passed (ovs-vswitchd.conf.db(5), max-revalidator)."""

_OF_THE_MESH = frozenset({Kind.PEER, Kind.NEIGHBOUR, Kind.SPLIT_HORIZON})
"""Kinds that a daemon that has just started must not judge: it does not know the mesh yet."""


class Forwarder:
    """Owns the difference between desired and installed flows.

    Args:
        switch: the local bridge.
        wanted: computes the desired state now.
        deadline: when the desired state changes by itself, monotonic seconds, or None.
        on_ready: called each time the flows of a switch that connected are in place, or in place
            again.
        on_lost: called when flows that somebody has taken are not back in time.
        settle_s: how long after the start flows of an earlier daemon are left alone while its
            neighbours are not all back.
    """

    def __init__(
        self,
        switch: Switch,
        wanted: Callable[[], ForwardingState],
        deadline: Callable[[], float | None],
        on_ready: Callable[[], None],
        on_lost: Callable[[], None],
        settle_s: float,
    ) -> None:
        self._switch = switch
        self._wanted = wanted
        self._deadline = deadline
        self._on_ready = on_ready
        self._on_lost = on_lost
        self._changed = hub.Signal()
        self._installed: set[diff.InstalledFlow] | None = None
        self._audit = FlowAudit()
        self._audit_at = float("inf")
        self._out_of_sync_since: float | None = None
        self._altered: frozenset[diff.InstalledFlow] = frozenset()
        """Flows that do something else than their cookies say: to be deleted whatever is wanted."""
        self._has_old_rules = False
        """An earlier version's flows were in the switch, and what they have learnt may be still."""
        self._inherited: frozenset[int] = frozenset()
        self._came_from: frozenset[int] = frozenset()
        """Short ids of those whose broadcasts came by a neighbour, as an earlier daemon had it."""
        self._settled_at = time.monotonic() + settle_s
        self._is_settled = False
        self._kinds: dict[ShortId, tuple[bool, frozenset[str]]] = {}
        self._stale: set[ShortId] = set()
        self.desired: list[FlowSpec] = []

    def start(self) -> None:
        """Begin to work."""
        hub.spawn_vital("forwarder", self._loop)

    def changed(self) -> None:
        """Something that flows follow from may have changed."""
        self._changed.set()

    def switch_changed(self) -> None:
        """The switch connected or went away: what is installed is not known any more."""
        self._installed = None
        self._audit.forget()
        self._changed.set()

    @property
    def is_in_sync(self) -> bool:
        """True if the switch holds what was last wanted."""
        return self._installed is not None

    def _loop(self) -> None:
        while True:
            deadline = self._next_deadline()
            timeout = None if deadline is None else max(0.05, deadline - time.monotonic())
            is_changed = self._changed.wait(timeout)
            if not self._switch.is_connected:
                continue
            try:
                if self._installed is not None and time.monotonic() >= self._audit_at:
                    self._look_whether_it_holds()
                if is_changed or self._installed is None or self._is_due():
                    self._work()
            except OpenFlowError as error:
                _log.warning("flows_not_installed", error=str(error))
                self._installed = None
                self._give_up_if_late()
                hub.sleep(RETRY_S)
                self._changed.set()
            else:
                self._out_of_sync_since = None

    def _give_up_if_late(self) -> None:
        now = time.monotonic()
        if self._out_of_sync_since is None:
            self._out_of_sync_since = now
        elif now - self._out_of_sync_since >= LOST_AFTER_S:
            self._on_lost()

    def _is_due(self) -> bool:
        """What is wanted changes by itself now."""
        candidates = [self._deadline(), None if self._is_settled else self._settled_at]
        at = min((at for at in candidates if at is not None), default=None)
        return at is not None and time.monotonic() >= at

    def _next_deadline(self) -> float | None:
        audit_at = None if self._installed is None else self._audit_at
        settled_at = None if self._is_settled else self._settled_at
        candidates = [self._deadline(), settled_at, audit_at]
        return min((at for at in candidates if at is not None), default=None)

    def _look_whether_it_holds(self) -> None:
        """Find out what others have done to the switch; then nothing counts as installed.

        No message tells of it: the connection stays, and flows that somebody deletes are gone
        without a word (a flow can ask for one, OFPFF_SEND_FLOW_REM; not one that is changed).
        """
        began = time.monotonic()
        given = set(self._installed or ())
        found = self._switch.read_flows()
        has_meters = self._switch.has_meters()
        took_s = time.monotonic() - began
        self._audit_at = began + max(AUDIT_EVERY_S, took_s / AUDIT_SHARE)
        deviation = self._audit.compare(found, given)
        if self._installed is None or (has_meters and not deviation):
            return  # it has connected anew meanwhile, or all is well
        _log.warning(
            "flows_changed_by_others",
            missing=len(deviation.missing),
            altered=len(deviation.altered),
            foreign=len(deviation.foreign),
            meters="as given" if has_meters else "changed",
            remedy="they are put back; whoever changes them must leave this bridge alone",
        )
        self._altered |= deviation.altered
        self._installed = None
        self._out_of_sync_since = began

    def _work(self) -> None:
        fresh = self._installed is None
        if fresh:
            self._switch.read_ports()
            self._switch.set_meters()
            self._installed = {flow for flow, _ in self._switch.read_flows()} - self._altered
            self._inherit(self._installed)
            if any(flow.table not in BY_NUMBER for flow in self._installed):
                # Among the others of this version an earlier one's flows for the mesh mean
                # something else: they do not stay until all neighbours are back.
                self._is_settled = self._has_old_rules = True
        state = self._wanted()
        self.desired = rules.flows(state)
        desired = self.desired
        holds_back = not self._settle(state)
        if holds_back:
            desired = [flow for flow in desired if Kind(flow.kind) not in _OF_THE_MESH]
        plan = diff.plan(
            self._installed or (),
            desired,
            keep=lambda kind: holds_back and kind in _OF_THE_MESH,
        )
        self._switch.commit(plan, [(flow.cookie, cookies.EXACT) for flow in self._altered])
        self._altered = frozenset()
        if self._has_old_rules:
            self._forget_all()
        kept = {
            flow
            for flow in self._installed or ()
            if holds_back and Kind(flow.cookie >> 48 & 0xFF) in _OF_THE_MESH
        }
        self._installed = {diff.installed(flow) for flow in desired} | kept
        if plan:
            _log.debug("flows_installed", added=len(plan.add), deleted=len(plan.delete))
        if not holds_back:
            self._forget_changed(state)
        if plan or fresh:
            # Soon: what others do to a flow shows only once it has been seen.
            self._audit_at = min(self._audit_at, time.monotonic() + AUDIT_SOON_S)
        if fresh:
            self._on_ready()

    def _inherit(self, found: set[diff.InstalledFlow]) -> None:
        """Note which neighbours an earlier daemon had."""
        if not self._is_settled and not self._inherited:
            parsed = (cookies.parse(flow.cookie) for flow in found)
            self._inherited = frozenset(
                subject for kind, subject in filter(None, parsed) if kind is Kind.NEIGHBOUR
            )
            trees = (flow for flow in found if flow.table == REVERSE_PATH.number)
            parsed = (cookies.parse(flow.cookie) for flow in trees)
            self._came_from = frozenset(subject for _, subject in filter(None, parsed))

    def _settle(self, state: ForwardingState) -> bool:
        """True once this daemon knows the mesh at least as well as its predecessor's flows do.

        Or if a segment has moved here since: of all peers this one must not take it to be where it
        was. Its broadcasts could go round between those flows and the new tree.
        """
        if not self._is_settled:
            present = {int(hop.short_id) for hop in state.neighbours}
            late = time.monotonic() >= self._settled_at
            homes = {port.short_id for port in state.gateway_ports if port.is_home}
            if late or self._inherited <= present or homes & self._came_from:
                self._is_settled = True
                if self._inherited:
                    _log.info(
                        "flows_taken_over",
                        neighbours=len(self._inherited),
                        missing=sorted(self._inherited - present),
                    )
        return self._is_settled

    def _forget_changed(self, state: ForwardingState) -> None:
        """Drop the MACs behind peers that left the mesh, or are of another kind than before.

        A segment leaves when nobody forwards for it.
        """
        present = {peer.short_id: (peer.is_segment, peer.lets_in) for peer in state.peers}
        stale = {sid for sid, before in self._kinds.items() if present.get(sid) != before}
        self._kinds = present
        # Until the switch has confirmed: it may be away now, and keep its tables.
        self._stale |= stale
        if self._stale:
            stale, self._stale = self._stale, set()
            selectors = [(subject_cookie(Kind.LEARNT_PEER, s), SUBJECT_MASK) for s in sorted(stale)]
            try:
                self._switch.delete(selectors)
            except OpenFlowError:
                self._stale |= stale
                raise
            hub.spawn(self._forget_again, selectors)

    def _forget_all(self) -> None:
        """Drop what an earlier version has learnt: by rules that hold no more.

        Not before those are gone: they would learn it again with the next frame.
        """
        kinds = (Kind.LEARNT_PEER, Kind.LEARNT_PORT)
        selectors = [(subject_cookie(kind, 0), KIND_MASK) for kind in kinds]
        self._switch.delete(selectors)
        self._has_old_rules = False
        hub.spawn(self._forget_again, selectors)

    def _forget_again(self, selectors: Sequence[tuple[int, int]]) -> None:
        hub.sleep(FORGET_AGAIN_AFTER_S)
        try:
            self._switch.delete(selectors)
        except OpenFlowError as error:
            _log.warning("forgetting_failed", error=str(error))
