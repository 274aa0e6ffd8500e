"""A server with the real API, and headless Chromium that looks at it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

FLAGS = (
    "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip


class Server:
    """`serve.py`; `tell` makes a change and returns when it is made."""

    def __init__(self, peers=4, token_file="", port=0):
        self.arguments = [str(peers), token_file]
        self.start(port)

    def start(self, port=0):
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("serve.py")), *self.arguments, str(port)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.port = int(self._process.stdout.readline())
        self.url = f"http://127.0.0.1:{self.port}/"

    def tell(self, line):
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "done\n"

    def stop(self):
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()


@pytest.fixture
def serve():
    servers = []

    def start(*arguments, **options):
        servers.append(Server(*arguments, **options))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture(scope="session")
def browser():
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("chromium is not installed: ovs_scripts/install-deps --tests")
    from playwright.sync_api import sync_playwright

    flags = [*FLAGS, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=flags)
        yield chromium
        chromium.close()


@pytest.fixture
def look(browser):
    """Opens the page; at the end there must have been no error on its console.

    `allowed` are words of errors that the test itself brings about.
    """
    pages = []

    def open_page(server, allowed=(), **options):
        context = browser.new_context(viewport={"width": 1280, "height": 900}, **options)
        page = context.new_page()
        page.set_default_timeout(10_000)
        errors = []
        page.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        pages.append((context, errors, allowed))
        page.goto(server.url)
        return page

    yield open_page
    for context, errors, allowed in pages:
        context.close()
        assert [e for e in errors if not any(word in e for word in allowed)] == []
