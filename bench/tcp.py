"""``python -m bench.tcp serve ADDRESS``, ``… send ADDRESS SECONDS``: one TCP connection, one way.

The server prints how many megabits a second arrived, from the first byte to the last.
"""

from __future__ import annotations

import socket
import sys
import time

PORT = 5201
BUFFER_BYTES = 1 << 18
ACCEPT_TIMEOUT_S = 20.0
RECEIVE_BYTES = 1 << 16
"""The kernel doubles it. Enough for each round trip here, and too little for a burst that overflows
a queue on the way: then luck, not the switches, would decide how fast a connection is."""


def serve(address: str) -> None:
    """Take one connection and say how fast it was."""
    with socket.create_server((address, PORT)) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
        server.settimeout(ACCEPT_TIMEOUT_S)
        print("ready", flush=True)
        connection, _ = server.accept()
    buffer = bytearray(BUFFER_BYTES)
    total, started = 0, 0.0
    with connection:
        connection.settimeout(ACCEPT_TIMEOUT_S)
        while count := connection.recv_into(buffer):
            started = started or time.monotonic()
            total += count
    print(total * 8 / 1e6 / max(time.monotonic() - started, 1e-6), flush=True)


def send(address: str, seconds: float) -> None:
    """Send as fast as it goes."""
    payload = bytes(BUFFER_BYTES)
    with socket.create_connection((address, PORT), timeout=ACCEPT_TIMEOUT_S) as connection:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            connection.sendall(payload)


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2])
    else:
        send(sys.argv[2], float(sys.argv[3]))
