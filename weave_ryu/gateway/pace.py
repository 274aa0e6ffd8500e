"""Times of a gateway port that nobody needs to configure; the others are in `timers`.

Seconds, except where the name says otherwise.
"""

from __future__ import annotations

FAULT_WINDOW_S = 60.0
FAULT_LIMIT = 3
"""That many faults within the window, and the port comes last in every election."""

RELEASE_S = 1.0
"""So long a port that does not forward any more waits for the next one to claim its segment."""

REQUEST_S = 4.0
"""So long the role is asked for."""

SWEEP_S = 0.004
"""So long after it has confirmed a change a switch may use what it decided before (measured)."""

WATCH_LEAD_S = 0.12
"""In a hand-over: so long before broadcasts change hands the successor begins to watch them."""

TAKEN_S = 0.03
"""In a hand-over the successor has opened by then; until that the old one keeps still."""

ASK_AGAIN_S = 0.25
"""Between two requests for the role: the holder may be busy with another hand-over."""

RESET_AGAIN_S = 0.25
"""A switch that has not confirmed that it closed is told again so much later."""

PREEMPT_RETRY_S = 10.0
