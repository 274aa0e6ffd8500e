"""Makes the pictures of the page in the documentation.

Usage: python tests/web/screenshot.py docs/images
"""

import shutil
import sys
import time
from pathlib import Path

from page_server import FLAGS, Server
from playwright.sync_api import expect, sync_playwright

STORY = (
    "role auto",
    "other standby 0 switch and link are ready, role auto",
    "own active no gateway of vlan forwards",
    "own fault the segment's link went down",
    "other active 2 no gateway of vlan forwards",
    "own standby 7a:00:00:00:00:0b forwards with epoch 2",
    "macs 6",
)


def main():
    directory = Path(sys.argv[1])
    directory.mkdir(parents=True, exist_ok=True)
    server = Server(peers=6)
    try:
        with sync_playwright() as playwright:
            flags = [*FLAGS, "--no-sandbox"]
            browser = playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=flags
            )
            for line in STORY:
                server.tell(line)
                time.sleep(0.3)  # the timeline notes what others do four times a second
            for scheme in ("light", "dark"):
                page = browser.new_page(
                    viewport={"width": 1280, "height": 900}, color_scheme=scheme
                )
                page.goto(server.url)
                expect(page.locator("#events li")).to_have_count(5)
                expect(page.locator("#macs tr")).to_have_count(6)
                page.screenshot(path=directory / f"page-{scheme}.png")
            began = time.monotonic()
            server.tell("other standby 2 measured")
            expect(page.locator("#segments")).to_contain_text("measured")
            print(f"a change was visible after {1000 * (time.monotonic() - began):.0f} ms")
            browser.close()
    finally:
        server.stop()


if __name__ == "__main__":
    main()
