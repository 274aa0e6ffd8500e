"""Runs in the virtual machine: does what :mod:`tests.vm.machine` asks for, and says how it ended.

Both sides talk on a virtio port, one JSON object a line; there is one command at a time. Asked:
``{"argv": [...], "environment": {...}, "timeout_s": 60}``. Answered: any number of ``{"out":
"text"}``, then ``{"status": 0, "seconds": 1.5}``; a status below 0 is a signal's number, and None
means that the time was up. Only the standard library, for there is nothing else yet.
"""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

PORT = "weave-ryu"
TREE = Path(__file__).parents[2]
GRACE_S = 30.0
"""Between SIGTERM and SIGKILL: a lab takes itself down meanwhile."""


def find_port(directory=Path("/sys/class/virtio-ports")):
    """The device of our port; udev's own name for it may come later."""
    while True:
        for name in directory.glob("*/name"):
            if name.read_text().strip() == PORT:
                return Path("/dev") / name.parent.name
        time.sleep(0.1)


class Agent:
    """One conversation with the host."""

    def __init__(self, stream):
        self._stream = stream

    def say(self, **message):
        self._stream.write(json.dumps(message).encode() + b"\n")

    def serve(self):
        """Answer for as long as there is a host."""
        uptime_s = float(Path("/proc/uptime").read_text().split()[0])
        self.say(hello=PORT, uptime_s=uptime_s, kernel=os.uname().release)
        for line in self._stream:
            asked = json.loads(line)
            began = time.monotonic()
            try:
                status = self.run(asked["argv"], asked["environment"], asked["timeout_s"])
            except OSError as error:
                self.say(out=f"{asked['argv'][0]}: {error}\n")
                status = 127
            self.say(status=status, seconds=round(time.monotonic() - began, 3))

    def run(self, argv, environment, timeout_s):
        """Run a command to its end and pass its output on."""
        process = subprocess.Popen(
            argv,
            cwd=TREE,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        deadline = time.monotonic() + timeout_s
        is_late = False
        while process.poll() is None:
            self._pass_on(process.stdout, 0.2)
            if time.monotonic() < deadline:
                continue
            number = signal.SIGKILL if is_late else signal.SIGTERM
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            is_late, deadline = True, time.monotonic() + GRACE_S
        # What is left in the pipe; a process in the background may hold it open for ever.
        while self._pass_on(process.stdout, 0.0):
            pass
        process.stdout.close()
        return None if is_late else process.returncode

    def _pass_on(self, pipe, wait_s):
        if not select.select([pipe], [], [], wait_s)[0]:
            return False
        chunk = os.read(pipe.fileno(), 65536)
        if chunk:
            self.say(out=chunk.decode(errors="replace"))
        elif wait_s:
            time.sleep(wait_s)  # it has closed its output, and goes on
        return bool(chunk)


def main():
    device = find_port()
    with device.open("r+b", buffering=0) as stream:
        agent = Agent(stream)
        while True:
            agent.serve()
            time.sleep(0.2)  # the host has gone away


if __name__ == "__main__":
    sys.exit(main())
