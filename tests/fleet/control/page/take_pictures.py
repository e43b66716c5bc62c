"""Take pictures of the pages with a fleet that has something to show: `python take_pictures.py FOLDER [PICTURE ...]`.

A picture is PAGE-WIDTH-SCHEME; by default every page at the widths of a phone, a tablet and a screen, in the light and in the
dark. docs/fleet/page.md has `rollout-1440-light aborted-390-light fleet-820-dark`, docs/fleet/drift.md has `drift-1440-light
report-390-light drift-820-dark`, cut with `--most 1500`.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import uvicorn
from edgewright.fleet.control.app import make_app
from edgewright.fleet.control.attributes import set_attributes
from edgewright.fleet.control.database import MEMORY, Database
from edgewright.fleet.control.drift.store import Drift
from edgewright.fleet.control.drift_report.gather import report_of
from edgewright.fleet.control.groups import set_group
from edgewright.fleet.control.page.drift_file import drift_file
from edgewright.fleet.rollout.guard import Guard
from edgewright.fleet.rollout.plan import Plan, Stage
from edgewright.fleet.rollout.state import ACTIVE
from playwright.sync_api import Browser, sync_playwright

sys.path.insert(0, str(Path(__file__).parents[2]))

from control.page.drifting import Drifting
from control.page.fleet import Fleet
from simulated import SimulatedClock

WIDTHS = (390, 820, 1440)
ADDRESSES = {
    "fleet": "/",
    "devices": "/devices?where=site%20%3D%20lab",
    "device": "/devices/{device}",
    "rollouts": "/rollouts",
    "aborted": "/rollouts/1",
    "rollout": "/rollouts/2",
    "waiting": "/rollouts/3",
    "telemetry": "/telemetry?model=digits",
    "artifacts": "/artifacts",
    "audit": "/audit",
}
DRIFT_ADDRESSES = {
    "drifts": "/drift",
    "drift": "/drift/gas?since=259200",
    "withdrawn": "/drift/keywords?since=259200",
    "report": "report",
}
_SITES = ("lab", "hall-north", "hall-south", "yard")


def story(fleet: Fleet) -> str:
    """A version that failed, one that is on its way, one that waits for a person; a device that failed."""
    clock = fleet.clock
    three, seven = fleet.artifact(3), fleet.artifact(7, model="keywords")
    names = []
    for number in range(160):
        name = fleet.device(seen_s=fleet.random.uniform(5, 280))
        set_attributes(fleet.store, name, {"site": _SITES[number % 4]}, "Ada")
        fleet.tell(name, three)
        if number % 2:
            fleet.tell(name, seven, model="keywords")
        names.append(name)
    set_group(fleet.database, "beta", "site = lab", "Ada")
    set_group(fleet.database, "indoors", "site in (hall-north, hall-south)", "Ada")
    for name in names[:12]:
        fleet.count(name, three, requests=2_000, errors=1, windows=96)
    fleet.store.revoke(fleet.device(seen_s=9 * 86400.0), "Grace")
    for _ in range(3):
        fleet.tell(fleet.device(seen_s=4 * 86400.0), three)

    clock.advance(7200.0)
    fleet.artifact(4)
    bad = fleet.roll_out(Plan("digits", 4, "site != yard", (Stage(count=30), Stage()), observe_s=0.0))
    for place in range(30):
        clock.advance(35.0)
        if fleet.rollouts.get(bad).state in ACTIVE:
            fleet.answer(bad, bad={0} if place % 3 == 1 else (), most=1)

    clock.advance(6 * 3600.0)
    fleet.artifact(8, model="keywords", is_canary=True)
    waits = Plan("keywords", 8, stages=(Stage(count=30), Stage(0.5), Stage()), observe_s=0.0, needs_approval=True)
    five = fleet.artifact(5)
    guards = (Guard("errors", 0.01), Guard("slow", 0.05))
    stages = (Stage(count=40), Stage(0.75), Stage())
    runs = fleet.roll_out(Plan("digits", 5, "site != yard", stages, guards=guards, observe_s=0.0, when_undecided="promote"))
    held = fleet.roll_out(waits, "Grace")
    fleet.answer(held, model="keywords")
    counted = [name for name, _ in fleet.open_members(runs)]
    for name in counted[:26]:
        for version, slower in ((three, 1.0), (five, 1.06)):
            fleet.count(name, version, requests=900, errors=1, p50_ms=0.6 * slower, windows=4)
    for place in range(8):
        clock.advance(240.0)
        fleet.answer(runs, bad={2} if place == 3 else (), most=5)
    for place in range(4):
        clock.advance(300.0)
        fleet.answer(runs, bad={3} if place == 2 else (), most=8)
    clock.advance(95.0)
    fleet.store.note_seen({name: clock.now() - fleet.random.uniform(5, 280) for name in names})
    return fleet.open_members(runs)[0][0]


def drift_story(fleet: Fleet) -> str:
    """Two models: inputs of one batch change and one sensor sticks; and one whose estimate labels refute."""
    clock = fleet.clock
    gas = Drifting(fleet, lambda seconds: None, devices=24, of_batch=6, model="gas", tensor="sensor")
    words = Drifting(fleet, clock.advance, devices=6, of_batch=6, model="keywords", seed=1)
    for hour in range(60):
        gas.pass_hours(
            1, shift=0.0 if hour < 30 else min((hour - 30) / 8, 1.2), stuck=gas.names[:1] if hour > 20 else (), labels=20
        )
        words.pass_hours(1, labels=40, right_less=0.0 if hour < 30 else 0.12)
    gas.drift.acknowledge(gas.drift.alerts("gas")[-1].id, "Grace")
    return ""


def main() -> None:
    """Take the pictures."""
    addresses = {**ADDRESSES, **DRIFT_ADDRESSES}
    every = [f"{name}-{width}-{scheme}" for scheme in ("light", "dark") for name in addresses for width in WIDTHS]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("pictures", nargs="*", default=every)
    parser.add_argument("--most", type=int, default=20_000, help="pixels of a picture's height")
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for told, of_story in ((story, ADDRESSES), (drift_story, DRIFT_ADDRESSES)):
            wanted = [item for item in asked.pictures if item.partition("-")[0] in of_story]
            if wanted:
                _take(browser, told, wanted, asked.folder, asked.most)
        browser.close()


def _take(browser: Browser, told: Callable[[Fleet], str], pictures: list[str], folder: Path, most: int) -> None:
    """Pictures of a story."""
    clock = SimulatedClock()
    fleet = Fleet(Database(MEMORY, clock))
    device = told(fleet)
    app = make_app(fleet.database, clock, "http://files.local/repo")
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    context = browser.new_context(base_url=url)
    tab = context.new_page()
    tab.goto("/login")
    tab.get_by_label("Your token").fill(fleet.people.make("Ada", "operator", 1.0, "Ada"))
    tab.get_by_role("button", name="Sign in").click()
    tab.get_by_role("heading", level=1, name="Fleet").wait_for()
    for picture in pictures:
        name, width, scheme = picture.split("-")
        tab.emulate_media(color_scheme=scheme)
        tab.set_viewport_size({"width": int(width), "height": 900})
        if name == "report":
            file = folder / "drift.html"
            file.write_text(drift_file(report_of(Drift(fleet.database), "gas", 3 * 86400.0)))
            tab.goto(file.resolve().as_uri())
        else:
            tab.goto({**ADDRESSES, **DRIFT_ADDRESSES}[name].format(device=device))
        tall = min(most, tab.evaluate("document.documentElement.scrollHeight"))
        clip = {"x": 0, "y": 0, "width": int(width), "height": tall}
        tab.screenshot(path=folder / f"{picture}.png", full_page=True, clip=clip)
    context.close()
    server.should_exit = True
    thread.join()


if __name__ == "__main__":
    main()
