"""The page in real headless Chromium."""

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

TOKEN = "c2VjcmV0LXNlY3JldC1zZWNyZXQ="
REFUSED, GONE = "401", "ERR_"


@pytest.fixture
def token_file(tmp_path):
    path = tmp_path / "token"
    path.write_text(TOKEN)
    path.chmod(0o600)
    return str(path)


def shown(page):
    page.wait_for_selector("html[data-shown]")
    return page


def test_state_is_shown_and_changes_arrive(serve, look):
    server = serve()
    page = shown(look(server))
    expect(page.locator("#connection")).to_have_text("live")
    expect(page.locator("#segments")).to_contain_text("✕ NOBODY FORWARDS")
    server.tell("other active 7 the gateway before was silent")
    expect(page.locator("#segments")).to_contain_text(
        "● B eth7 forwards; nobody else could take over"
    )
    expect(page.locator("#segments h3")).to_have_text("vlan epoch 7")
    newest = page.locator("#events li").first
    expect(newest).to_contain_text("B eth7 ● forwards")
    expect(newest).to_contain_text("the gateway before was silent")
    server.tell("own active by mistake")
    expect(page.locator("#segments")).to_contain_text("✕ 2 FORWARD: A eth1, B eth7")
    server.tell("other standby 7 yields")
    expect(page.locator("#segments")).to_contain_text("● A eth1 forwards; B eth7 could take over")
    expect(page.locator("#mesh .port.active")).to_have_count(1)


def rows(page):
    """State and reason of each gateway."""
    return page.evaluate(
        "[...document.querySelectorAll('#segments tbody tr')].map("
        "row => [row.cells[1].textContent, row.cells[7].textContent])"
    )


def test_dead_gateway_is_not_shown_as_forwarding(serve, look):
    server = serve()
    server.tell("other active 7 the gateway before was silent")
    page = shown(look(server))
    headline = page.locator("#segments .headline")
    expect(headline).to_contain_text("● B eth7 forwards")
    server.tell("silent")
    expect(headline).to_contain_text("may forward until its permits run out")
    expect(headline).to_contain_text("✕ NOBODY FORWARDS")
    assert page.locator("#mesh .port.active").count() == 0
    (_, (state, why)) = rows(page)
    assert state == "✕ silent"
    assert re.match("its daemon is silent for .* s, nothing known of its switch", why)
    server.tell("own active 7a:00:00:00:00:0b: daemon silent")
    expect(headline).to_contain_text("● A eth1 forwards; nobody else could take over")
    (own, (state, why)) = rows(page)
    assert own[1].startswith("B: daemon silent")
    assert (state, why.endswith("; A eth1 took over")) == ("✕ silent", True)
    server.tell("leaves")
    expect(page.locator("#segments tbody")).to_contain_text("its daemon has left the mesh")
    assert rows(page)[1][0].endswith(" left the mesh")
    assert page.locator("#segments .good").all_text_contents() == [
        "● A eth1 forwards", "● forwards",
    ]  # fmt: skip


@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_picture_of_a_daemon_that_is_gone_says_nothing_of_the_present(serve, look, how):
    server = serve()
    server.tell("own active by hand")
    page = shown(look(server, allowed=(GONE,)))
    expect(page.locator("#segments .headline")).to_contain_text("● A eth1 forwards")
    if how == "killed":
        server.stop()
    else:
        server.pause()
    headline = page.locator("#segments .headline")
    expect(headline).to_contain_text("the daemon of A does not answer", timeout=3000)
    assert "forwards" not in page.locator("#segments").text_content()
    assert page.locator("#segments .good, #mesh .port.active").count() == 0
    if how == "stopped":
        server.resume()
        expect(headline).to_contain_text("● A eth1 forwards")
        expect(page.locator("#connection")).to_have_text("live")


def test_two_hundred_peers_are_drawn(serve, look):
    page = shown(look(serve(peers=200)))
    expect(page.locator("#mesh-count")).to_have_text("200 peers, 19900 connections")
    assert page.locator("#mesh *").count() < 1000
    paints = page.evaluate("performance.getEntriesByType('paint').map(entry => entry.startTime)")
    print(f"first paint after {paints[0]} ms")  # with -s
    assert paints


def test_peers_names_become_no_markup(serve, look):
    server = serve()
    server.tell("nick <img/src=x/onerror=alert(1)>")
    server.tell("other active 3 <script>alert(1)</script>")
    page = shown(look(server))
    expect(page.locator("#segments")).to_contain_text("<img/src=x/onerror=alert(1)> eth7 forwards")
    expect(page.locator("#events")).to_contain_text("<script>alert(1)</script>")
    assert page.locator("main img, main script").count() == 0


def test_macs_are_searched_by_keyboard(serve, look):
    server = serve()
    server.tell("macs 1000")
    page = shown(look(server))
    expect(page.locator("#macs-count")).to_have_text("1000 of 1000, the first 500 shown")
    page.keyboard.press("/")
    page.keyboard.type("00:03:E")
    expect(page.locator("#macs-count")).to_have_text("8 of 1000")
    page.keyboard.type("7")
    expect(page.locator("#macs tr")).to_have_count(1)
    expect(page.locator("#macs")).to_contain_text("02:00:00:00:03:e7")
    page.locator("#search").fill("nothing like that")
    expect(page.locator("#macs tr")).to_have_count(0)


def test_role_is_changed_after_a_question(serve, look):
    page = shown(look(serve()))
    page.get_by_role("button", name="activate eth1").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("activate eth1?")
    expect(page.locator("#ask-token-line")).to_be_hidden()
    dialog.get_by_role("button", name="Yes").click()
    expect(dialog).to_be_hidden()
    expect(page.locator("#segments")).to_contain_text("● A eth1 forwards")
    expect(page.locator("#events")).to_contain_text("the operator asked for active")
    expect(page.get_by_role("button", name="activate eth1")).to_be_disabled()


def test_question_can_be_declined_by_keyboard(serve, look):
    page = shown(look(serve()))
    button = page.get_by_role("button", name="activate eth1")
    button.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(button).to_be_focused()
    expect(page.locator("#segments")).to_contain_text("✕ NOBODY FORWARDS")


def test_token_is_asked_for_until_it_is_right(serve, look, token_file):
    page = shown(look(serve(token_file=token_file), allowed=(REFUSED,)))
    page.get_by_role("button", name="activate eth1").click()
    yes = page.get_by_role("button", name="Yes")
    yes.click()
    expect(page.locator("#ask-error")).to_contain_text("Authorization: Bearer")
    page.get_by_label("Token").fill("wrong-wrong-wrong-wrong")
    yes.click()
    expect(page.locator("#ask-error")).to_contain_text("Authorization: Bearer")
    page.get_by_label("Token").fill(TOKEN)
    yes.click()
    expect(page.locator("#segments")).to_contain_text("● A eth1 forwards")
    page.get_by_role("button", name="standby eth1").click()
    yes.click()
    expect(page.locator("#segments")).to_contain_text("✕ NOBODY FORWARDS")


def test_refusal_of_the_daemon_is_shown_in_the_dialog(serve, look):
    page = shown(look(serve(), allowed=("503",)))
    refusal = '{"error": {"code": "switch", "message": "eth1: the link is down", "field": ""}}'
    page.route("**/gateways/eth1", lambda route: route.fulfill(status=503, body=refusal))
    page.get_by_role("button", name="activate eth1").click()
    page.get_by_role("button", name="Yes").click()
    expect(page.locator("#ask-error")).to_have_text("eth1: the link is down")
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("dialog")).to_be_hidden()


def test_lost_daemon_is_told_and_found_again(serve, look):
    server = serve()
    page = shown(look(server, allowed=(GONE,)))
    expect(page.locator("#connection")).to_have_text("live")
    server.stop()
    expect(page.locator("#connection")).to_have_text(re.compile("lost"))
    server.start(server.port)
    server.tell("other active 9 after the restart")
    expect(page.locator("#connection")).to_have_text("live")
    expect(page.locator("#segments h3")).to_have_text("vlan epoch 9")


def test_focus_survives_a_change(serve, look):
    server = serve()
    page = shown(look(server))
    button = page.get_by_role("button", name="drain eth1")
    button.focus()
    server.tell("other active 7 somewhere else")
    expect(page.locator("#segments")).to_contain_text("B eth7 forwards")
    expect(button).to_be_focused()


def test_light_and_dark_can_be_switched(serve, look):
    page = shown(look(serve(), color_scheme="light"))
    back = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(back)
    page.get_by_role("button", name="Light or dark").click()
    dark = page.evaluate(back)
    assert light != dark
    page.reload()
    assert page.evaluate(back) == dark
    assert shown(look(serve(), color_scheme="dark")).evaluate(back) == dark


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("asks", [False, True])
def test_axe_finds_nothing_serious(serve, look, scheme, asks):
    server = serve(peers=4 if asks else 200)
    server.tell("macs 3")
    server.tell("other active 7 the gateway before was silent")
    server.tell("own fault the segment's link went down")
    page = shown(look(server, color_scheme=scheme))
    expect(page.locator("#macs tr")).to_have_count(3)
    expect(page.locator("#events li")).to_have_count(2)
    if asks:
        page.get_by_role("button", name="activate eth1").click()
    found = Axe().run(page).response["violations"]
    serious = [v for v in found if v["impact"] in ("serious", "critical")]
    assert [(v["id"], v["nodes"][0]["html"]) for v in serious] == []


def test_page_fits_a_narrow_screen(serve, look):
    server = serve()
    server.tell("other standby 7 stands by")
    page = shown(look(server))
    page.set_viewport_size({"width": 700, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 700
