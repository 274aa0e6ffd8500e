"""How far a gateway port is open: the one notion that gateways and the pipeline share."""

from __future__ import annotations

import enum


class Gate(enum.StrEnum):
    """How far a gateway port is open; each level is a set of permits in the switch."""

    CLOSED = "closed"
    """Nothing passes."""
    KNOWN = "open for known unicast"
    """Unicast between known stations passes in both directions; another gateway does the rest."""
    TAKING = "open for known unicast, watching broadcasts"
    """The same, and the daemon sees which broadcasts the other gateway passes."""
    OPEN = "open"
    """Everything passes."""
    DRAINING = "open inwards"
    """Only unicast for known stations of the mesh comes in; nothing goes out."""
