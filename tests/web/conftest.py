"""A server with the real API, and headless Chromium that looks at it."""

import os
import shutil

import pytest
from page_server import FLAGS, Server


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
