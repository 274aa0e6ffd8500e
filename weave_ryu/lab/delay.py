"""Holds every frame between two links back for a while: what tc-netem(8) does, without netem.

Not every kernel is built with it. This is a process of its own, so that it does not share an
interpreter with the captures::

    python -m weave_ryu.lab.delay LINK LINK MILLISECONDS
"""

from __future__ import annotations

import collections
import select
import signal
import socket
import sys
import time
from typing import Final

_ETH_P_ALL: Final = 0x0003
_PACKET_OUTGOING: Final = 4
_MAX_FRAME_BYTES: Final = 65536
_BATCH: Final = 64

READY: Final = "ready"
"""What it prints when it listens. It forwards from SIGUSR1 on: nothing must go two ways before."""


def forward(first: str, second: str, delay_s: float) -> None:
    """Pass frames between two links, each direction ``delay_s`` late, from SIGUSR1 on, for ever.

    Raises:
        OSError: no such link, or not root.
    """
    ends = [_open(name) for name in (first, second)]
    other = {ends[0]: ends[1], ends[1]: ends[0]}
    waiting: collections.deque[tuple[float, socket.socket, bytes]] = collections.deque()
    begun: list[int] = []
    signal.signal(signal.SIGUSR1, lambda number, _: begun.append(number))
    print(READY, flush=True)
    while True:
        rest = max(0.0, waiting[0][0] - time.monotonic()) if waiting else None
        for end in select.select(ends, (), (), rest)[0]:
            for _ in range(_BATCH):
                try:
                    frame, address = end.recvfrom(_MAX_FRAME_BYTES)
                except OSError:
                    break  # nothing more, or the link is down for now
                if begun and address[2] != _PACKET_OUTGOING:
                    waiting.append((time.monotonic() + delay_s, other[end], frame))
        now = time.monotonic()
        while waiting and waiting[0][0] <= now:
            _, end, frame = waiting.popleft()
            try:
                end.send(frame)
            except OSError:
                continue  # a link that is down loses the frame


def _open(name: str) -> socket.socket:
    opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
    opened.bind((name, _ETH_P_ALL))
    opened.setblocking(False)
    return opened


if __name__ == "__main__":
    forward(sys.argv[1], sys.argv[2], int(sys.argv[3]) / 1000)
