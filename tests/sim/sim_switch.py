"""A switch over time: tables with run-out, a flow cache, and its late learning.

Open vSwitch looks a frame up in its tables only if its cache has no answer for it. A cached frame
teaches nothing when it passes: the switch credits it up to half a second later (max-revalidator),
and learns then. After each change of flows all cached answers are looked up anew, and frames that
passed before are credited to the new tables: so the switch learns from frames of before.
"""

from __future__ import annotations

from collections import Counter
from operator import attrgetter

from sim_tables import LEARNT, Tables

from weave_ryu.pipeline.cookies import parse

CREDIT_S = 0.5
"""Open vSwitch's max-revalidator: frames are credited at least so often."""
IDLE_S = 10.0
"""Open vSwitch's max-idle: cached answers that nobody asked for go after this long."""
LAPSE_S = 0.25
"""So long after its permits have gone a switch may still use what it decided before."""
_number = attrgetter("number")


class _Installed:
    """A flow in the switch; `expires_at` is None for those that stay."""

    __slots__ = ("expires_at", "flow", "lag_s")

    def __init__(self, flow):
        self.flow = flow
        self.expires_at = self.lag_s = None


class _Cached:
    """An answer of the cache, and what it rests on; `number` grows with each that is made."""

    __slots__ = (
        "asked",
        "frame",
        "generation",
        "is_hit",
        "last",
        "learns",
        "number",
        "sent",
        "version",
    )

    def __init__(self, frame, number):
        self.frame, self.number = frame, number
        self.sent, self.learns = (), ()
        self.generation = self.version = -1
        self.is_hit, self.last = False, 0.0


class SimSwitch:
    """One switch.

    Args:
        clock: virtual time.
        rng: of this world.
        slow_s: the longest time between a change of flows and its effect on cached frames.
        lag_s: how much later than their time permits may run out.
        on_gate: called when the switch has opened or closed the gateway port for broadcasts.
    """

    def __init__(self, clock, rng, slow_s, lag_s, on_gate):
        self.clock, self.rng = clock, rng
        self.slow_s, self.lag_s = slow_s, lag_s
        self.on_gate = on_gate
        self.is_up = True
        self.relearnt = 0
        self._reset()

    def _reset(self):
        self.tables = Tables()
        self._learnt_at = {}
        self.flows = {}
        self._place = {}
        self.cache = {}
        self._hit, self._made, self._idle_since = [], 0, 0.0
        self.generation = self._validated = 0
        self._kinds = Counter()
        self._revalidation = self._crediting = self._expiry = None
        self.ran_out_at = None
        """Since when the gateway port is closed because nobody has renewed its permits."""
        self.shut_at = float("-inf")
        """Since when there are no permits, whatever the reason."""
        self.permits = self.opening = 0
        """How many permits there are, and how many of them let broadcasts in."""

    # Life.

    def crash(self):
        self.is_up = False
        for timer in (self._revalidation, self._crediting, self._expiry):
            self.clock.cancel(timer)
        self._reset()
        self.on_gate()

    def restart(self):
        self.is_up = True

    # Changes.

    def apply(self, add=(), delete=(), forget=()):
        """One bundle: forget by cookie and mask, add, then delete by table and exact cookie.

        Args:
            add: prepared flows.
            delete: places: table number, priority and cookie as one number.
            forget: (cookie, mask).
        """
        was_open = self.opening
        is_changed = False
        for cookie, mask in forget:
            is_changed |= self._forget(cookie, mask)
        flows, now = self.flows, self.clock.now
        for flow in add:
            installed = flows.get(flow.key)
            if installed is None or installed.flow is not flow:
                if installed is not None:
                    self._drop(installed.flow)
                installed = self._put(flow)
                is_changed = True
            if flow.timeout_s:
                installed.expires_at = now + flow.timeout_s + installed.lag_s
        if add and self._expiry is None and add[0].timeout_s:
            self._expiry = self.clock.after(add[0].timeout_s, self._expire)
        for place in delete:
            flow = self._place.get(place)
            if flow is not None:
                self._drop(flow)
                is_changed = True
        if is_changed:
            self._settle(was_open)

    def _put(self, flow):
        installed = self.flows[flow.key] = _Installed(flow)
        self._place[flow.place] = flow
        self.tables.put(flow)
        self.permits += flow.is_permit
        self.opening += flow.opens
        if flow.timeout_s:
            installed.lag_s = self.rng.uniform(0.0, self.lag_s)
        self._kinds[flow.kind] += 1
        return installed

    def _drop(self, flow):
        del self.flows[flow.key]
        del self._place[flow.place]
        self.tables.drop(flow)
        self.permits -= flow.is_permit
        self.opening -= flow.opens
        self._kinds[flow.kind] -= 1
        if flow.is_permit and not self.permits:
            self.shut_at = self.clock.now

    def _forget(self, cookie, mask):
        wanted = cookie & mask
        gone = ()
        if self._kinds[wanted >> 48 & 0xFF]:  # else it is about what was learnt
            gone = [i.flow for i in self.flows.values() if i.flow.cookie & mask == wanted]
            for flow in gone:
                self._drop(flow)
        learnt = self.tables.learnt
        macs = [key for key, (_, taught_by) in learnt.items() if taught_by & mask == wanted]
        for key in macs:
            del learnt[key]
        return bool(gone or macs)

    def forget_mac(self, mac, priorities):
        """Forget what was learnt of a MAC with these priorities."""
        gone = [self.tables.learnt.pop((t, mac, p), None) for t in LEARNT for p in priorities]
        if any(gone):
            self._changed()

    def ages(self, mac):
        """Since when a MAC (with colons) is learnt: whole seconds, kind, subject of each entry."""
        for key, (_, cookie) in self.tables.learnt.items():
            if key[:2] == ("mac", mac):
                yield float(int(self.clock.now - self._learnt_at[key])), *parse(cookie)

    def _expire(self):
        self._expiry = None
        now = self.clock.now
        timed = [i for i in self.flows.values() if i.expires_at is not None]
        due = [i.flow for i in timed if i.expires_at <= now]
        left = [i.expires_at for i in timed if i.expires_at > now]
        if left:
            self._expiry = self.clock.at(min(left), self._expire)
        if due:
            was_open = self.opening
            for flow in due:
                self._drop(flow)
            if not self.permits:
                self.ran_out_at = now
            self._settle(was_open)

    def _settle(self, was_open):
        self.tables.version += 1
        self._changed()
        if bool(was_open) != bool(self.opening):
            self.on_gate()

    # Frames.

    def send(self, in_port, src, dst, tun_src="0.0.0.0", tun_id=0, kind=0):
        """What leaves the switch, in order; cached answers are for one kind of frame each."""
        if not self.is_up:
            return ()
        key = (in_port, src, dst, tun_src, tun_id, kind)
        cached = self.cache.get(key)
        if cached is None:
            self._made += 1
            cached = self.cache[key] = _Cached(key[:5], self._made)
            self._look_up(cached)
            self._learn(cached.learns)
        else:
            if cached.generation < self._validated:
                self._look_up(cached)
            if not cached.is_hit:
                cached.is_hit = True
                self._hit.append(cached)
            if self._crediting is None:
                wait_s = self.rng.random() * CREDIT_S
                self._crediting = self.clock.after(wait_s, self._credit)
        cached.last = self.clock.now
        return cached.sent

    def trace(self, in_port, src, dst):
        """The way of such a frame through the tables; nothing is learnt."""
        return self.tables.walk(in_port, src, dst).visited

    def packet_out(self, src, actions):
        """A frame that the daemon hands over with its actions; learning is at once."""
        if not self.is_up:
            return ()
        walk = self.tables.walk_actions(src, "ff:ff:ff:ff:ff:ff", actions)
        self._learn(walk.noted)
        return walk.sent

    def _look_up(self, cached):
        tables = self.tables
        if cached.version == tables.version:
            learnt = tables.learnt
            for key, found in cached.asked:
                if learnt.get(key) is not found:
                    break
            else:
                cached.generation = self.generation
                return
        walk = tables.walk(*cached.frame)
        cached.sent, cached.learns, cached.asked = walk.sent, walk.noted, walk.asked
        cached.generation, cached.version = self.generation, tables.version

    def _learn(self, learns):
        """True if something was learnt that was not known so."""
        is_new = False
        learnt = self.tables.learnt
        for lesson, mac in learns:
            key = (lesson.table, mac, lesson.priority)
            taught = lesson.taught
            self._learnt_at[key] = self.clock.now
            known = learnt.get(key)
            if known is not taught and known != taught:
                learnt[key] = taught
                is_new = True
        if is_new:
            self._changed()
        return is_new

    @property
    def is_silent(self):
        """Its gateway port has been closed for so long that no frame may pass it."""
        return not self.permits and self.clock.now > self.shut_at + LAPSE_S

    def _changed(self):
        self.generation += 1
        if self._revalidation is None:
            wait_s = self.rng.random() * self.slow_s
            self._revalidation = self.clock.after(wait_s, self._revalidate)

    def _revalidate(self):
        """Look all cached answers up anew (those without hits when they are asked for)."""
        self._revalidation = None
        self._validated = self.generation
        self._credit(again=False)

    def _credit(self, again=True):
        if again:
            self._crediting = None
        hit, self._hit = self._hit, []
        hit.sort(key=_number)  # as a walk through the cache would find them
        for cached in hit:
            if cached.generation != self.generation:
                self._look_up(cached)
            if cached.learns and self._learn(cached.learns):
                self.relearnt += 1
        self._drop_idle()
        for cached in hit:
            cached.is_hit = False

    def _drop_idle(self):
        """Answers that nobody has asked for lately; look again when there may be others."""
        old = self.clock.now - IDLE_S
        if old > self._idle_since and self.cache:
            for key in [k for k, c in self.cache.items() if c.last < old and not c.is_hit]:
                del self.cache[key]
            self._idle_since = min([c.last for c in self.cache.values()], default=old)

    # Looking.

    @property
    def is_open(self):
        """It lets the segment's broadcasts in."""
        return self.opening > 0
