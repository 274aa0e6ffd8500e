"""The process that serves the page, and how Chromium is started."""

import signal
import subprocess
import sys
from pathlib import Path

FLAGS = (
    "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip


class Server:
    """`serve.py`; `tell` makes a change and returns when it is made."""

    def __init__(self, peers=4, token_file="", port=0, certificate=()):
        self.arguments = [str(peers), token_file]
        self.certificate = [str(path) for path in certificate]
        self.start(port)

    def start(self, port=0):
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("serve.py")), *self.arguments, str(port),
             *self.certificate],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.port = int(self._process.stdout.readline())
        scheme = "https" if self.certificate else "http"
        self.url = f"{scheme}://127.0.0.1:{self.port}/"

    def tell(self, line):
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "done\n"

    def pause(self):
        self._process.send_signal(signal.SIGSTOP)

    def resume(self):
        self._process.send_signal(signal.SIGCONT)

    def stop(self):
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()
