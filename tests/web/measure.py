"""Measures the page: first paint with many peers, and how soon a change is visible.

Usage: python tests/web/measure.py [PEERS]
"""

import shutil
import statistics
import sys
import time

from page_server import FLAGS, Server
from playwright.sync_api import expect, sync_playwright

LOADS, CHANGES = 7, 20


def first_paints(browser, server):
    """Milliseconds from the start of the navigation to the first paint, and until data is shown."""
    paints, shown = [], []
    for _ in range(LOADS):
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(server.url)
        page.wait_for_selector("html[data-shown]")
        shown.append(page.evaluate("performance.now()"))
        paint = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
        paints.append(page.evaluate(paint))
        page.close()
    return paints, shown


def changes(page, server):
    """Milliseconds from a change in the daemon until the page shows it."""
    found = []
    for number in range(CHANGES):
        began = time.monotonic()
        server.tell(f"other {'active' if number % 2 else 'standby'} {number} change-{number}")
        expect(page.locator("#events li").first).to_contain_text(f"change-{number}")
        found.append(1000 * (time.monotonic() - began))
        time.sleep(0.137)  # not in step with what the daemon does periodically
    return found


def show(what, values):
    print(
        f"{what}: median {statistics.median(values):.0f} ms, worst {max(values):.0f} ms"
        f" ({len(values)} times)"
    )


def main():
    peers = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    server = Server(peers=peers)
    server.tell("macs 1000")
    try:
        with sync_playwright() as playwright:
            flags = [*FLAGS, "--no-sandbox"]
            browser = playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=flags
            )
            paints, shown = first_paints(browser, server)
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            page.goto(server.url)
            page.wait_for_selector("html[data-shown]")
            print(f"{peers} peers in a full mesh, 1000 MACs, headless Chromium on the same machine")
            show("first paint", paints)
            show("mesh and segments shown", shown)
            show("change visible", changes(page, server))
            browser.close()
    finally:
        server.stop()


if __name__ == "__main__":
    main()
