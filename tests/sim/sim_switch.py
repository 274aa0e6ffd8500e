"""A switch over time: the table model with run-out, a flow cache, and its late learning.

Open vSwitch looks a frame up in its tables only if its cache has no answer for it. A cached frame
teaches nothing when it passes: the switch credits it up to half a second later (max-revalidator),
and learns then. After each change of flows all cached answers are looked up anew, and frames that
passed before are credited to the new tables: so the switch learns from frames of before.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "model"))

from table_model import Frame, TableModel, _holds

from weave_ryu.pipeline import cookies
from weave_ryu.pipeline.model import Learn, Load
from weave_ryu.pipeline.parts import LEARN_PRIORITY, LEARN_PRIORITY_SECOND_HAND
from weave_ryu.pipeline.tables import BY_NAME, BY_NUMBER

CREDIT_S = 0.5
"""Open vSwitch's max-revalidator: frames are credited at least so often."""
IDLE_S = 10.0
"""Open vSwitch's max-idle: cached answers that nobody asked for go after this long."""
PRIORITIES = (LEARN_PRIORITY, LEARN_PRIORITY_SECOND_HAND)


class _Installed:
    """A flow in the switch."""

    __slots__ = ("cookie", "expiry", "flow")

    def __init__(self, flow):
        self.flow = flow
        self.cookie = cookies.flow_cookie(flow)
        self.expiry = None


class _Cached:
    """An answer of the cache."""

    __slots__ = ("frame", "generation", "hits", "last", "learns", "sent")

    def __init__(self, frame):
        self.frame = frame
        self.sent, self.learns = (), ()
        self.generation = -1
        self.hits, self.last = 0, 0.0


class _Tables(TableModel):
    """The table model with an index, and learning that can be put off."""

    def __init__(self, tunnel_ports):
        super().__init__([], tunnel_ports)
        self.by_table = {}
        self.learning = True
        self.noted = []

    def _best(self, table, walk):
        learnt = self.learnt
        if BY_NAME[table].learnt:
            mac = walk.frame.dst if table == "mac" else walk.frame.src
            for priority in PRIORITIES:
                found = learnt.get((table, mac, priority))
                if found is not None:
                    return found[0]
            return ()
        for flow in self.by_table.get(table, ()):
            for term in flow.match:
                if not _holds(term, walk):
                    break
            else:
                return flow.actions
        return ()

    def _do(self, action, walk):
        if isinstance(action, Learn):
            self.noted.append((action, walk.frame.src))
        else:
            super()._do(action, walk)


class SimSwitch:
    """One switch.

    Args:
        clock: virtual time.
        rng: of this world.
        tunnel_port: number of the tunnel port.
        slow_s: the longest time between a change of flows and its effect on cached frames.
        lag_s: how much later than their time permits may run out.
        on_gate: called with the set of ports that are fully open, when it changed.
    """

    def __init__(self, clock, rng, tunnel_port, slow_s, lag_s, on_gate):
        self.clock, self.rng = clock, rng
        self.slow_s, self.lag_s = slow_s, lag_s
        self.on_gate = on_gate
        self.is_up = True
        self.relearnt = 0
        self._tunnel_port = tunnel_port
        self._reset()

    def _reset(self):
        self.tables = _Tables((self._tunnel_port,))
        self.flows = {}
        self.cache = {}
        self.generation = self._validated = 0
        self._parents = {}
        self._revalidation = None
        self._crediting = None

    # Life.

    def crash(self):
        self.is_up = False
        for installed in self.flows.values():
            self.clock.cancel(installed.expiry)
        self.clock.cancel(self._revalidation)
        self.clock.cancel(self._crediting)
        self._reset()
        self.on_gate()

    def restart(self):
        self.is_up = True

    # Changes.

    def apply(self, add=(), delete=(), forget=()):
        """One bundle: forget by cookie and mask, add, then delete by table and exact cookie."""
        touched = set()
        is_changed = False
        for cookie, mask in forget:
            is_changed |= self._forget(cookie, mask, touched)
        for flow in add:
            key = (flow.table, flow.priority, flow.match)
            old = self.flows.get(key)
            if old is not None:
                self.clock.cancel(old.expiry)
                self._count(old.flow, -1)
            is_changed |= old is None or old.flow.actions != flow.actions
            installed = self.flows[key] = _Installed(flow)
            self._count(flow, 1)
            touched.add(flow.table)
            if flow.hard_timeout_s:
                lag_s = self.rng.uniform(0.0, self.lag_s)
                installed.expiry = self.clock.after(flow.hard_timeout_s + lag_s, self._expire, key)
        for gone in delete:
            table = BY_NUMBER[gone.table].name
            for key, installed in list(self.flows.items()):
                if key[0] == table and installed.cookie == gone.cookie:
                    self._drop(key, touched)
                    is_changed = True
        self._settle(touched, is_changed)

    def _forget(self, cookie, mask, touched):
        wanted = cookie & mask
        gone = [key for key, flow in self.flows.items() if flow.cookie & mask == wanted]
        for key in gone:
            self._drop(key, touched)
        learnt = self.tables.learnt
        macs = [key for key, (_, taught_by) in learnt.items() if taught_by & mask == wanted]
        for key in macs:
            del learnt[key]
        return bool(gone or macs)

    def _drop(self, key, touched):
        installed = self.flows.pop(key)
        self.clock.cancel(installed.expiry)
        self._count(installed.flow, -1)
        touched.add(key[0])

    def _expire(self, key):
        touched = set()
        self._drop(key, touched)
        self._settle(touched, True)

    def _count(self, flow, step):
        """Flows that teach with `with_parent`: what they taught goes with the last of them."""
        for action in flow.actions:
            if isinstance(action, Learn) and action.with_parent:
                key = (action.table, action.cookie)
                self._parents[key] = self._parents.get(key, 0) + step

    def _settle(self, touched, is_changed):
        for table in touched:
            flows = [i.flow for key, i in self.flows.items() if key[0] == table]
            self.tables.by_table[table] = sorted(flows, key=lambda flow: -flow.priority)
        orphaned = {key for key, count in self._parents.items() if count == 0}
        if orphaned:
            for key in orphaned:
                del self._parents[key]
            learnt = self.tables.learnt
            for key in [k for k, (_, cookie) in learnt.items() if (k[0], cookie) in orphaned]:
                del learnt[key]
        if is_changed:
            self._changed()
            if touched & {"gate_flood", "gate_in"}:
                self.on_gate()

    # Frames.

    def send(self, in_port, src, dst, tun_src="0.0.0.0", tun_id=0, kind=0):
        """What leaves the switch, in order; cached answers are for one kind of frame each."""
        if not self.is_up:
            return ()
        key = (in_port, src, dst, tun_src, tun_id, kind)
        cached = self.cache.get(key)
        if cached is None:
            cached = self.cache[key] = _Cached(Frame(in_port, src, dst, tun_src, tun_id))
            self._look_up(cached)
            self._learn(cached.learns)
        else:
            if cached.generation < self._validated:
                self._look_up(cached)
            cached.hits += 1
            if self._crediting is None:
                wait_s = self.rng.uniform(0.0, CREDIT_S)
                self._crediting = self.clock.after(wait_s, self._credit)
        cached.last = self.clock.now
        return cached.sent

    def trace(self, in_port, src, dst):
        """The way of such a frame through the tables; nothing is learnt."""
        self.tables.noted = []
        return self.tables.walk(Frame(in_port, src, dst)).visited

    def packet_out(self, src, actions):
        """A frame that the daemon hands over with its actions; learning is at once."""
        if not self.is_up:
            return ()
        walk_frame = Frame(0, src, "ff:ff:ff:ff:ff:ff")
        tables = self.tables
        tables.noted = []
        walk = tables.walk_actions(walk_frame, actions)
        self._learn([(a, mac) for a, mac in tables.noted])
        return walk.sent

    def _look_up(self, cached):
        tables = self.tables
        tables.noted = []
        cached.sent = tuple(tables.walk(cached.frame).sent)
        cached.learns = tables.noted
        cached.generation = self.generation

    def _learn(self, learns):
        """True if something was learnt that was not known so."""
        is_new = False
        for action, mac in learns:
            key = (action.table, mac, action.priority)
            loads = tuple(Load(load.mark, load.value) for load in action.loads)
            taught = (loads, action.cookie)
            if self.tables.learnt.get(key) != taught:
                self.tables.learnt[key] = taught
                is_new = True
        if is_new:
            self._changed()
        return is_new

    def _changed(self):
        self.generation += 1
        if self._revalidation is None:
            wait_s = self.rng.uniform(0.0, self.slow_s)
            self._revalidation = self.clock.after(wait_s, self._revalidate)

    def _revalidate(self):
        """Look all cached answers up anew (those without hits when they are asked for)."""
        self._revalidation = None
        self._validated = self.generation
        self._credit(again=False)

    def _credit(self, again=True):
        if again:
            self._crediting = None
        now = self.clock.now
        for key, cached in list(self.cache.items()):
            if cached.hits:
                if cached.generation != self.generation:
                    self._look_up(cached)
                cached.hits = 0
                if self._learn(cached.learns):
                    self.relearnt += 1
            elif now - cached.last > IDLE_S:
                del self.cache[key]

    # Looking.

    def open_ports(self):
        """Gateway ports that let broadcasts in."""
        return {
            term.value
            for key, i in self.flows.items()
            if key[0] == "gate_flood" and i.flow.kind == cookies.Kind.PERMIT
            for term in i.flow.match
        }
