"""The page in a real browser: what a person clicks, at the widths of a phone, a tablet and a screen."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace

import pytest
from control.page.drifting import HOUR, LEAD_S, Drifting
from control.page.fleet import Fleet
from control_plane import Control
from edgewright.fleet.control.attributes import set_attributes
from edgewright.fleet.control.database import MEMORY
from edgewright.fleet.rollout.plan import Plan, Stage

sync_api = pytest.importorskip("playwright.sync_api", reason="the package playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on this machine")

WIDTHS = (390, 820, 1440)
sync_api.expect.set_options(timeout=30_000)


@pytest.fixture(scope="module")
def control():
    found = Control(MEMORY)
    yield found
    found.close()


@pytest.fixture(scope="module")
def fleet(control):
    """Devices that run two versions, with telemetry, and one that has been silent for days."""
    found = Fleet(control.database)
    three, four = found.artifact(3), found.artifact(4, is_canary=True)
    for number in range(6):
        name = found.device(seen_s=20.0 * number if number < 5 else 3 * 86400.0)
        set_attributes(found.store, name, {"site": "lab" if number % 2 else "a field far away from everything else"}, "Ada")
        found.tell(name, four if number == 0 else three)
        found.count(name, four if number == 0 else three, windows=8, p50_ms=0.9 if number == 0 else 0.6)
    found.tell(name, three, "Idle", "FAILED_ROLLBACK_COMPLETE", "the self-test gave 3 other answers of 16; " * 5, target=four)
    return found


@pytest.fixture(scope="module")
def chromium():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def tab(chromium, control):
    """A tab of its own session; fails on what a browser complains of, and on a request to anybody else."""
    context = chromium.new_context(base_url=control.url, viewport={"width": 1440, "height": 900})
    context.set_default_timeout(20_000)
    page, complaints = context.new_page(), []
    page.on("console", lambda message: complaints.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "request", lambda request: None if request.url.startswith((control.url, "data:")) else complaints.append(request.url)
    )
    page.complaints = complaints
    yield page
    assert complaints == []
    context.close()


def sign_in(tab, fleet, role="operator"):
    name = f"{role} {fleet.random.randrange(10**9)}"
    tab.goto("/")
    tab.get_by_label("Your token").fill(fleet.people.make(name, role, 1.0, "tests"))
    tab.get_by_role("button", name="Sign in").click()
    tab.get_by_role("heading", level=1, name="Fleet").wait_for()


def test_signing_in_looking_around_and_out_again(tab, fleet):
    sign_in(tab, fleet)
    for name in ("Devices", "Rollouts", "Telemetry", "Drift", "Artifacts", "Audit", "Fleet"):
        tab.get_by_role("navigation").get_by_role("link", name=name, exact=True).click()
        assert tab.get_by_role("heading", level=1).inner_text().startswith(name)
        assert tab.locator("nav [aria-current=page]").inner_text() == name
    tab.get_by_role("button", name="Sign out").click()
    tab.get_by_label("Your token").wait_for()
    tab.goto("/devices")
    assert "/login" in tab.url


def test_from_what_is_wrong_to_the_device_that_it_is_about(tab, fleet):
    sign_in(tab, fleet, "viewer")
    tab.get_by_role("link", name="1 device has not asked for more than a day.").click()
    assert tab.get_by_text("1 device matches.").is_visible()
    tab.locator("tbody a").click()
    assert tab.get_by_text("failed, rolled back").first.is_visible()
    assert "the self-test gave 3 other answers of 16" in tab.locator("main").inner_text()


def test_searching_for_devices(tab, fleet):
    sign_in(tab, fleet, "viewer")
    tab.goto("/devices")
    tab.get_by_label("Which devices").fill('site = "lab" and has profile')
    tab.keyboard.press("Enter")
    tab.get_by_text("3 devices match.").wait_for()
    tab.get_by_label("Which devices").fill("site = ")
    tab.get_by_role("button", name="Show").click()
    assert "character" in tab.get_by_role("alert").inner_text()
    assert tab.get_by_label("Which devices").input_value() == "site = "


@pytest.mark.parametrize("width", WIDTHS)
def test_every_page_fits_its_screen(tab, fleet, width):
    sign_in(tab, fleet)
    tab.set_viewport_size({"width": width, "height": 900})
    with fleet.database.reading() as connection:
        device = connection.exec_driver_sql("SELECT device FROM states WHERE result <> 'SUCCESSFUL'").scalar()
    paths = ("/", "/devices", f"/devices/{device}", "/rollouts", "/telemetry", "/artifacts", "/audit", "/login")
    for path in paths:
        tab.goto(path)
        assert tab.evaluate("document.documentElement.scrollWidth") <= width, path
        for link in tab.locator("main a, main button, main input:not([type=hidden])").all():
            if link.is_visible():
                box = link.bounding_box()
                assert box["x"] >= 0, path
                assert box["x"] + box["width"] <= width, path


def test_the_page_renews_itself_but_not_under_somebodys_hands(tab, fleet):
    sign_in(tab, fleet)
    shown = tab.locator(".facts dd").first
    before = int(shown.inner_text())
    fleet.device()
    sync_api.expect(shown).to_have_text(str(before + 1))
    # Who selects a text keeps it.
    tab.evaluate("getSelection().selectAllChildren(document.querySelector('h1'))")
    fleet.device()
    tab.wait_for_timeout(7_000)
    assert int(shown.inner_text()) == before + 1
    tab.evaluate("getSelection().empty()")
    sync_api.expect(shown).to_have_text(str(before + 2))


def test_without_scripts_nothing_is_missing(chromium, control, fleet):
    context = chromium.new_context(base_url=control.url, java_script_enabled=False)
    tab = context.new_page()
    sign_in(tab, fleet)
    tab.goto("/telemetry")
    assert tab.locator("figure svg").count() == 6
    context.close()


def test_clicking_through_a_rollout(tab, fleet):
    """From the canary by a person's approval to the rest, and back from there, with the evidence beside."""
    plan = Plan("digits", 4, "profile = raspberry-pi-4b", (Stage(count=2), Stage()), needs_approval=True, observe_s=0.0)
    number = fleet.roll_out(replace(plan, when_undecided="promote"))
    sign_in(tab, fleet)
    tab.get_by_role("navigation").get_by_role("link", name="Rollouts").click()
    tab.get_by_role("link", name="digits 4").first.click()
    verdict = tab.locator("#verdict")
    assert "running · canary, stage 1 of 2" in verdict.inner_text()
    verdict.get_by_role("button", name="Pause").click()
    sync_api.expect(verdict).to_contain_text("Paused by operator")
    verdict.get_by_role("button", name="Resume").click()
    sync_api.expect(verdict).to_contain_text("running")
    fleet.answer(number)
    # Nobody clicks: the page hears of the answers by itself.
    sync_api.expect(verdict).to_contain_text("waits for approval")
    assert tab.locator("figure svg[role=img]").first.get_attribute("aria-label").startswith("After 2 devices")
    verdict.get_by_role("button", name="Approve").click()
    sync_api.expect(verdict).to_contain_text("stage 2 of 2")
    verdict.get_by_text("Abort…").click()
    assert "get back what ran before" in verdict.inner_text()
    # An open question is not taken away by the page's renewal.
    tab.wait_for_timeout(7_000)
    verdict.get_by_role("button", name="Abort for good").click()
    sync_api.expect(verdict).to_contain_text("Aborted by operator")
    assert fleet.rollouts.get(number).state == "aborted"
    assert tab.locator(".actions").count() == 0
    tab.get_by_role("navigation").get_by_role("link", name="Audit").click()
    assert tab.get_by_text("abort-rollout").first.is_visible()
    assert tab.get_by_text("The chain holds").is_visible()


def test_a_viewer_finds_no_buttons(tab, fleet):
    sign_in(tab, fleet, "viewer")
    number = fleet.roll_out(Plan("digits", 4, stages=(Stage(count=1), Stage())))
    tab.goto(f"/rollouts/{number}")
    tab.get_by_role("heading", name="digits 4").wait_for()
    assert tab.locator("main button").count() == 0
    fleet.rollouts.act(number, "abort", "tests")


@pytest.fixture(scope="module")
def drifting(control, fleet):
    """A model whose inputs change on one batch, of which an hour passed for every hour that the server's clock is told of."""

    def move(seconds):
        control.clock.ahead_s += seconds

    control.clock.ahead_s = -9 * HOUR - LEAD_S
    found = Drifting(fleet, move, devices=6, of_batch=2, model="gas", tensor="sensor")
    found.pass_hours(3, samples=500, labels=40)
    found.pass_hours(6, samples=500, labels=40, shift=1.5)
    control.clock.ahead_s = 0.0
    return found


def test_from_a_notice_to_the_devices_that_drift(tab, fleet, drifting):
    sign_in(tab, fleet, "viewer")
    tab.get_by_role("link", name="Drift of gas").click()
    tab.get_by_role("heading", level=1, name="gas").wait_for()
    assert "Severe drift in devices with batch = 7" in tab.locator("#verdict").inner_text()
    assert "At compile time it was" in tab.locator("#verdict").inner_text()
    assert tab.locator("figure svg[role=img]:visible").count() >= 4
    assert tab.locator("main button").count() == 0
    tab.get_by_role("link", name="day", exact=True).click()
    sync_api.expect(tab).to_have_url(re.compile("since=86400$"))
    tab.get_by_role("link", name="devices with batch = 7").first.click()
    assert tab.get_by_text("2 devices match.").is_visible()


def test_acknowledging_an_alert(tab, fleet, drifting):
    sign_in(tab, fleet)
    tab.get_by_role("navigation").get_by_role("link", name="Drift").click()
    tab.get_by_role("link", name="gas").click()
    row = tab.locator(f"#alert-{drifting.drift.alerts('gas')[-1].id}")
    row.get_by_role("button", name="Acknowledge").click()
    sync_api.expect(row).to_contain_text("acknowledged")
    assert row.get_by_role("button").count() == 0
    tab.get_by_role("navigation").get_by_role("link", name="Audit").click()
    assert tab.get_by_text("acknowledge-alert").first.is_visible()


@pytest.mark.parametrize("width", WIDTHS)
def test_drift_fits_its_screen_on_the_page_and_in_its_file(tab, fleet, drifting, width, tmp_path):
    sign_in(tab, fleet)
    tab.set_viewport_size({"width": width, "height": 900})
    for path in ("/drift", "/drift/gas"):
        tab.goto(path)
        assert tab.evaluate("document.documentElement.scrollWidth") <= width, path
    with tab.expect_download() as waiting:
        tab.get_by_role("link", name="As a file").click()
    waiting.value.save_as(tmp_path / "drift.html")
    # The tab of this session hears of requests to anybody else: a file asks for nothing but itself.
    alone = tab.context.browser.new_page(viewport={"width": width, "height": 900}, java_script_enabled=False)
    asked = []
    alone.on("request", lambda request: asked.append(request.url))
    alone.goto((tmp_path / "drift.html").as_uri())
    assert alone.get_by_role("heading", level=1, name="gas").is_visible()
    assert alone.evaluate("document.documentElement.scrollWidth") <= width
    # Its own style is in it and holds.
    assert alone.locator(".narrow:visible").count() == (0 if width > 700 else alone.locator(".narrow").count())
    assert asked == [(tmp_path / "drift.html").as_uri()]
    alone.close()
