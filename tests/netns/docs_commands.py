"""Finds the commands of a page, and runs them on hosts of a lab as a reader would.

A fenced block ``sh`` is run as it stands, by a shell that stops at the first failure. A comment
before it, ``<!-- test: … -->``, says what else there is to know:

- ``on Host1``: on that host of the lab; without it on the gateway `gw1`;
- ``meanwhile``: it goes on until the page is done; then Ctrl-C must end it well;
- ``until Ctrl-C``: it is ended after it has written something;
- ``not run: REASON``.
"""

import os
import re
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from weave_ryu import namespaces

ROOT = Path(__file__).parents[2]
FENCE = re.compile(
    r"(?:^[ ]*<!-- test: (?P<how>[^\n]*?) -->\n)?^(?P<indent>[ ]*)```sh\n(?P<text>.*?)^[ ]*```$",
    re.MULTILINE | re.DOTALL,
)
LIMIT_S = 60


@dataclass(frozen=True)
class Block:
    """A block of commands, and how to run it."""

    page: str
    line: int
    text: str
    how: str

    @property
    def reason(self):
        """Why it is not run; None if it is."""
        return self.how.removeprefix("not run: ") if self.how.startswith("not run: ") else None

    @property
    def place(self):
        """Name of the host."""
        return self.how.removeprefix("on ") if self.how.startswith("on ") else "gw1"


def blocks(path):
    """All blocks of a page."""
    page = path.read_text()
    found = []
    for match in FENCE.finditer(page):
        text = re.sub(rf"^{match['indent']}", "", match["text"], flags=re.MULTILINE)
        line = page.count("\n", 0, match.start()) + 1
        found.append(Block(str(path.relative_to(ROOT)), line, text, match["how"] or ""))
    return found


def pages():
    """The pages whose commands are run."""
    docs = ROOT / "docs"
    readme = ROOT / "README.md"
    return [
        readme,
        *sorted((docs / "tutorial").glob("*.md")),
        *sorted((docs / "how-to").glob("*.md")),
    ]


class Reader:
    """Types the commands of one page.

    Args:
        replace: what a reader would put in the place of names and addresses.
        places: name of a host → (namespace, environment).
        path: of stand-ins for programs.
    """

    def __init__(self, replace, places, path):
        self._replace, self._places, self._path = replace, places, path
        self._going = []

    def run(self, block):
        """Run one block to its end, or let it go on."""
        namespace, environment = self._places[block.place]
        text = block.text
        for pattern, new in self._replace:
            text = re.sub(pattern, new, text)
        settings = {
            **os.environ, **environment,
            "PATH": f"{self._path}:{os.environ['PATH']}", "TERM": "xterm",
        }  # fmt: skip

        def start():
            return subprocess.Popen(
                ["bash", "-euc", text], cwd=ROOT, env=settings, start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
            )  # fmt: skip

        process = namespaces.run_inside(namespace, start)
        if block.how in ("meanwhile", "until Ctrl-C"):
            process.stdout.peek(1)  # it has begun
        if block.how == "meanwhile":
            self._going.append((block, text, process))
            return
        if block.how == "until Ctrl-C":
            self._interrupt(block, text, process)
            return
        try:
            said, _ = process.communicate(timeout=LIMIT_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            said, _ = process.communicate()
            raise AssertionError(told(block, text, said, f"not done in {LIMIT_S} s")) from None
        assert process.returncode == 0, told(block, text, said, process.returncode)

    def done(self):
        """End what still runs."""
        while self._going:
            self._interrupt(*self._going.pop())

    def _interrupt(self, block, text, process):
        deadline = time.monotonic() + 10
        os.killpg(process.pid, signal.SIGINT)
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        alive = process.poll() is None
        if alive:
            os.killpg(process.pid, signal.SIGKILL)
        said, _ = process.communicate()
        assert not alive, told(block, text, said, "Ctrl-C did not end it")
        assert process.returncode in (0, 130, -signal.SIGINT), told(
            block, text, said, process.returncode
        )
        assert said, told(block, text, said, "it said nothing")


def told(block, text, said, status):
    """What a failed test shows."""
    shown = said.decode(errors="replace")
    return f"{block.page}:{block.line}\n{text}\n[{status}]\n{shown}"
