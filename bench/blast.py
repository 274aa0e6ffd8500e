"""``python -m bench.blast IFNAME SOURCE DESTINATION RATE SECONDS KIND``: many small frames.

Frames of 64 bytes (60 without checksum) at a steady rate, 64 to a system call. KIND is ``same``, or
``new``: each frame has a source address of its own. Prints ``ready``, waits for a line, sends, and
prints how many were sent and in how many seconds. What arrived is counted by the receiver's link,
so that counting costs nothing.
"""

from __future__ import annotations

import ctypes
import json
import os
import socket
import struct
import sys
import time
from typing import Any

BATCH = 64
FRAME_BYTES = 60
ETHERTYPE = b"\x88\xb5"


class _Part(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _Header(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("parts", ctypes.POINTER(_Part)),
        ("part_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _Message(ctypes.Structure):
    _fields_ = (("header", _Header), ("sent", ctypes.c_uint32))


def frames(source: str, destination: str) -> Any:  # noqa: ANN401  # an array type made at run time
    """One batch in memory that can be changed in place."""
    head = bytes.fromhex(destination.replace(":", "") + source.replace(":", "")) + ETHERTYPE
    return (ctypes.c_char * (FRAME_BYTES * BATCH)).from_buffer(
        bytearray(head.ljust(FRAME_BYTES, b"\0") * BATCH)
    )


def renumber(memory: Any, first: int) -> None:  # noqa: ANN401
    """Give each frame of a batch a source address of its own; 06:… is nobody else's."""
    for place in range(BATCH):
        at = place * FRAME_BYTES + 6
        memory[at : at + 6] = b"\x06\x01" + struct.pack("!I", first + place)


def blast(ifname: str, memory: Any, rate: float, seconds: float, *, new: bool) -> dict[str, float]:  # noqa: ANN401
    """Send; returns what was done."""
    libc = ctypes.CDLL(None, use_errno=True)
    address = ctypes.addressof(memory)
    parts = (_Part * BATCH)()
    messages = (_Message * BATCH)()
    for place in range(BATCH):
        parts[place] = _Part(address + place * FRAME_BYTES, FRAME_BYTES)
        messages[place].header.parts = ctypes.pointer(parts[place])
        messages[place].header.part_count = 1
    sent = 0
    first = int.from_bytes(os.urandom(2), "big") << 15
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as opened:
        opened.bind((ifname, 0))
        started = time.monotonic()
        while True:
            now = time.monotonic() - started
            if now >= seconds:
                break
            # Smaller batches at low rates, or the frames would come in lumps.
            due = min(BATCH, int(now * rate) - sent + 1)
            if due <= 0:
                time.sleep(0.0002)
                continue
            if new:
                renumber(memory, first + sent)
            done = libc.sendmmsg(opened.fileno(), messages, due, 0)
            sent += max(done, 0)
    return {"sent": sent, "seconds": time.monotonic() - started}


def main(arguments: list[str]) -> None:
    """Do it."""
    ifname, source, destination, rate, seconds, kind = arguments
    memory = frames(source, destination)
    print("ready", flush=True)
    sys.stdin.readline()
    found = blast(ifname, memory, float(rate), float(seconds), new=kind == "new")
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
