from __future__ import annotations

import itertools
import re
from urllib.parse import quote

import pytest
from control.page.drifting import HOUR, LEAD_S, Drifting
from control.page.fleet import Fleet
from control.page.reading import Page, check_harmless
from control.page.visitor import Visitor
from control_plane import Control
from edgewright.fleet.control.attributes import set_attributes
from edgewright.fleet.control.database import MEMORY
from edgewright.fleet.control.groups import set_group
from edgewright.fleet.control.page.render import SCRIPT, STYLE, name_of
from edgewright.fleet.control.tables import ALERTS
from edgewright.fleet.protocol.offer import OfferedGate
from edgewright.fleet.rollout.plan import Plan, Stage
from edgewright.fleet.rollout.state import ACTIVE

PAGES = ("/", "/devices", "/rollouts", "/telemetry", "/drift", "/artifacts", "/audit")
UNKNOWN = (
    "/devices/nobody",
    "/rollouts/7",
    "/rollouts/x",
    "/audit?before=x",
    "/static/style.css",
    "/rollouts/99999999999999999999",
    "/drift/nothing",
    "/drift/nothing/report.html",
    "/drift/digits?since=x",
)


@pytest.fixture(scope="module")
def control():
    """One server for all tests of the module; each makes people and devices of its own."""
    found = Control(MEMORY)
    yield found
    found.close()


@pytest.fixture(scope="module")
def fleet(control):
    return Fleet(control.database)


_NUMBERS = itertools.count(1)


def person(fleet, role):
    return fleet.people.make(f"{role} {next(_NUMBERS)}", role, 1.0, "tests")


@pytest.fixture
def viewer(control, fleet):
    return Visitor(control.url, person(fleet, "viewer"))


@pytest.fixture
def operator(control, fleet):
    return Visitor(control.url, person(fleet, "operator"))


def test_nobody_sees_anything_without_a_token(control):
    stranger = Visitor(control.url)
    paths = (*PAGES, "/devices/nobody", "/rollouts/1", "/drift/digits", "/drift/digits/report.html")
    for path in (*paths, "/devices?where=site%20%3D%20lab"):
        answer = stranger.get(path)
        assert (answer.status, answer.text) == (303, "")
    assert answer.headers["location"] == "/login?next=%2Fdevices%3Fwhere%3Dsite%2520%253D%2520lab"
    assert stranger.post("/rollouts/1/abort", {}).headers["location"] == "/login"
    assert stranger.post("/alerts/1/acknowledge", {}).headers["location"] == "/login"
    assert stranger.post("/logout", {}).headers["location"] == "/login"


@pytest.mark.parametrize("path", PAGES)
def test_every_page_is_shown_to_a_viewer(viewer, path):
    answer = viewer.get(path)
    assert answer.status == 200
    check_harmless(answer.page)
    assert re.search(r"viewer \d+, viewer Sign out", answer.page.words)


@pytest.mark.parametrize("path", [*PAGES, "/login", f"/static/{name_of(STYLE)}.css", "/nowhere-in-particular/"])
def test_a_browser_is_told_to_do_nothing_but_show_it(viewer, path):
    headers = viewer.get(path).headers
    if headers["content-type"].startswith("application/json"):
        return
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    is_static = path.startswith("/static/")
    assert headers["cache-control"] == ("public, max-age=31536000, immutable" if is_static else "no-store")


@pytest.mark.parametrize("path", UNKNOWN)
def test_what_is_not_there_is_said_in_a_page(viewer, path):
    answer = viewer.get(path)
    assert answer.status == 404
    assert "There is no such" in answer.page.words


def test_the_files_of_the_page(viewer):
    assert viewer.get(f"/static/{name_of(STYLE)}.css").headers["content-type"] == "text/css; charset=utf-8"
    assert viewer.get(f"/static/{name_of(SCRIPT)}.js").headers["content-type"] == "text/javascript; charset=utf-8"


def test_the_cookie_is_for_this_server_alone(control, fleet):
    secret = person(fleet, "viewer")
    answer = Visitor(control.url).post("/login", {"token": f" {secret}\n", "next": "/devices"})
    assert (answer.status, answer.headers["location"]) == (303, "/devices")
    cookie = answer.headers["set-cookie"]
    assert {"HttpOnly", "SameSite=strict", "Path=/", "Max-Age=43200"} <= {part.strip() for part in cookie.split(";")}
    assert "Secure" not in cookie  # this server speaks plain HTTP, where a browser would not send it back


@pytest.mark.parametrize("token", ["", "ew_" + "a" * 43, "' OR 1=1 --", "é" * 50])
def test_a_wrong_token_is_none(control, token):
    answer = Visitor(control.url).post("/login", {"token": token})
    assert answer.status == 401
    assert "set-cookie" not in answer.headers
    assert "This token is not known" in answer.page.words
    assert not token or token not in answer.text


def test_a_session_ends_with_its_token(control, fleet, viewer, monkeypatch):
    assert viewer.get("/").status == 200
    fleet.people.revoke(re.search(r"viewer \d+", viewer.get("/").page.words)[0], "tests")
    assert viewer.get("/").status == 303
    for_a_day = Visitor(control.url, person(fleet, "viewer"))
    assert for_a_day.get("/").status == 200
    monkeypatch.setattr(control.clock, "ahead_s", 86401.0)
    assert for_a_day.get("/").status == 303


def test_who_signs_out_is_out(viewer):
    assert viewer.post("/logout", {"csrf": "wrong"}).status == 403
    assert viewer.get("/").status == 200
    answer = viewer.post("/logout", {"csrf": viewer.get("/").csrf})
    assert (answer.status, answer.headers["location"]) == (303, "/login")
    assert viewer.get("/").status == 303


@pytest.mark.parametrize(
    "goal", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)", "/a\nb", ""]
)
def test_nobody_is_sent_elsewhere_after_signing_in(control, fleet, goal):
    answer = Visitor(control.url).post("/login", {"token": person(fleet, "viewer"), "next": goal})
    assert answer.headers["location"] == "/"


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "http://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}],
)
def test_forms_of_other_sites_are_refused(control, fleet, headers):
    secret = person(fleet, "operator")
    assert Visitor(control.url).post("/login", {"token": secret}, **headers).status == 403
    known = Visitor(control.url, secret)
    answer = known.post("/rollouts/1/abort", {"csrf": known.get("/").csrf}, **headers)
    assert answer.status == 403
    assert "another site" in answer.page.words


def test_a_form_is_good_in_its_own_session_only(control, fleet, operator):
    other = Visitor(control.url, person(fleet, "operator"))
    for field in ("", "x", other.get("/").csrf):
        answer = operator.post("/rollouts/1/abort", {"csrf": field})
        assert answer.status == 403
        assert "not one of this session" in answer.page.words


def test_a_form_has_an_end(operator):
    assert operator.post("/logout", {"csrf": "x" * 20_000}).status == 413


ASKING = (
    "/devices?where=",
    "/telemetry?model=digits&where=",
    "/devices?after=",
    "/telemetry?model=",
    "/drift/digits?since=",
    "/drift/digits?sha256=",
)


@pytest.mark.parametrize("path", ASKING)
@pytest.mark.parametrize(
    "text",
    [
        "%27%3B+DROP+TABLE+devices%3B--",
        "%22%3E%3Cscript%3Ealert(1)%3C%2Fscript%3E",
        "%00",
        "%F0%9F",
        "(" * 500,
        "%7B%7B'xy'*4%7D%7D",
    ],
)
def test_addresses_are_only_text(fleet, viewer, path, text):
    device = fleet.device()
    answer = viewer.get(path + text)
    assert answer.status in {200, 400, 404}
    check_harmless(answer.page)
    assert "xyxyxyxy" not in answer.text
    assert device in viewer.get("/devices").text


PLAN = Plan("digits", 4, stages=(Stage(count=2), Stage()), needs_approval=True, when_undecided="promote", observe_s=0.0)


@pytest.fixture
def number(fleet):
    """A rollout whose canary has begun; it is over after the test."""
    if not fleet.shelf.offered:
        fleet.artifact(4)
    for _ in range(4):
        fleet.device()
    found = fleet.roll_out(PLAN)
    yield found
    if fleet.rollouts.get(found).state in ACTIVE:
        fleet.rollouts.act(found, "abort", "tests")
    fleet.engine.tick()


def test_an_operator_takes_a_rollout_through_its_states(fleet, operator, number):
    path = f"/rollouts/{number}"

    def do(verb):
        answer = operator.post(f"{path}/{verb}", {"csrf": operator.get(path).csrf})
        assert (answer.status, answer.headers["location"]) == (303, path)
        return fleet.rollouts.get(number).state

    assert do("pause") == "paused"
    assert do("resume") == "running"
    fleet.answer(number)
    assert fleet.rollouts.get(number).state == "waiting-for-approval"
    assert do("approve") == "running"
    assert fleet.rollouts.get(number).stage == 1
    assert do("abort") == "aborted"
    words = operator.get(path).page.words
    assert re.search(r"aborted by operator \d+", words)
    again = operator.post(f"{path}/resume", {"csrf": operator.get("/").csrf})
    assert again.status == 409
    assert "a rollout that is aborted cannot be told to resume" in again.page.words


@pytest.mark.parametrize("verb", ["approve", "pause", "resume", "abort", "promote"])
def test_a_viewer_changes_nothing(fleet, viewer, number, verb):
    before = fleet.rollouts.get(number)
    answer = viewer.post(f"/rollouts/{number}/{verb}", {"csrf": viewer.get("/").csrf})
    assert answer.status == 403
    assert "needs the role operator" in answer.page.words
    assert fleet.rollouts.get(number) == before


@pytest.mark.parametrize("path", ["/rollouts/{}/delete", "/rollouts/{}/__class__", "/rollouts/0/abort", "/rollouts/-1/abort"])
def test_nothing_else_can_be_done(fleet, operator, number, path):
    before = fleet.rollouts.get(number)
    answer = operator.post(path.format(number), {"csrf": operator.get("/").csrf})
    assert answer.status in {404, 409}
    assert fleet.rollouts.get(number) == before


HOSTILE = "<script>alert('x')</script><img src=http://evil.example/ onerror=alert(1)>\"'&{{7*7}}${x}{% raw %}\u202e"
GATES = (OfferedGate(HOSTILE, "passed", HOSTILE, False),)


def test_hostile_texts_are_only_text_wherever_they_come_from(control, fleet, operator):
    """Each text that a device, a publisher or a person can give, on every page that shows it."""
    name = fleet.device(site=HOSTILE, **{HOSTILE[:40]: HOSTILE})
    bad = fleet.artifact(5, model="hostile", runtime=HOSTILE, runtime_version=HOSTILE, precision=HOSTILE, gates=GATES)
    fleet.tell(name, bad, "Idle", "FAILED_ROLLBACK_COMPLETE", HOSTILE, model="hostile")
    fleet.count(name, bad, model="hostile")
    set_attributes(fleet.store, name, {"note": HOSTILE.replace("\u202e", "")}, HOSTILE)
    set_group(fleet.database, "hostile", 'note = "<script>alert(1)</script>"', HOSTILE)
    number = fleet.roll_out(
        Plan("hostile", 5, 'note != "<script>"', stages=(Stage(count=1), Stage(query='note != "<i>"'))), HOSTILE
    )
    paths = ["/", "/devices", f"/devices/{name}", "/rollouts", f"/rollouts/{number}?left_out=yes", "/telemetry?model=hostile"]
    seen = 0
    for path in [*paths, "/artifacts", "/audit", "/devices?where=" + quote(HOSTILE), "/login?next=" + quote(HOSTILE)]:
        answer = operator.get(path)
        assert answer.status == 200, path
        check_harmless(answer.page)
        assert not re.search(r"<script>|<img|<i>", answer.text), path
        assert "\u202e" not in answer.text, path
        seen += "{{7*7}}" in answer.page.words
    assert seen >= 6
    fleet.rollouts.act(number, "abort", "tests")


@pytest.fixture(scope="module")
def drifting(control, fleet):
    """A model that drifts, whose tensor is called by a hostile text."""

    def move(seconds):
        control.clock.ahead_s += seconds

    control.clock.ahead_s = -6 * HOUR - LEAD_S
    found = Drifting(fleet, move, devices=4, of_batch=1, model="drifting", tensor=HOSTILE)
    found.pass_hours(6, samples=600, shift=1.5)
    control.clock.ahead_s = 0.0
    return found


def test_hostile_texts_in_what_drifts_are_only_text(drifting, operator):
    """A publisher names tensors; whoever may call devices names the attribute that an alert is of."""
    number = drifting.drift.alerts(drifting.model)[-1].id
    changed = {"scope": f"attribute {HOSTILE} = {HOSTILE}", "acknowledged_by": HOSTILE, "key": HOSTILE}
    with drifting.fleet.database.transaction() as connection:
        connection.execute(ALERTS.update().where(ALERTS.c.id == number).values(**changed))
    path = f"/drift/{drifting.model}"
    answer = operator.get(path)
    assert answer.status == 200
    check_harmless(answer.page)
    file = operator.get(f"{path}/report.html")
    assert file.headers["content-disposition"] == 'attachment; filename="drift.html"'
    for text in (answer.text, file.text):
        assert not re.search(r"<script>|<img|<i>|\u202e", text)
        assert "{{7*7}}" in Page(text).words
    assert "script" not in Page(file.text).tags


def test_an_operator_acknowledges_an_alert_and_a_viewer_does_not(drifting, operator, viewer):
    found = drifting.drift.alerts(drifting.model)[0]
    path, act = f"/drift/{drifting.model}", f"/alerts/{found.id}/acknowledge"
    answer = viewer.post(act, {"csrf": viewer.get("/").csrf})
    assert (answer.status, "needs the role operator" in answer.page.words) == (403, True)
    assert operator.post(act, {"csrf": "wrong"}).status == 403
    assert operator.post(act, {"csrf": operator.get(path).csrf}, Origin="http://evil.example").status == 403
    assert drifting.drift.alert(found.id) == found
    answer = operator.post(act, {"csrf": operator.get(path).csrf})
    assert (answer.status, answer.headers["location"]) == (303, path)
    assert re.fullmatch(r"operator \d+", drifting.drift.alert(found.id).acknowledged_by)
    assert "acknowledged" in viewer.get(path).page.words
    for number in ("99", "0", "x", "-1"):
        assert operator.post(f"/alerts/{number}/acknowledge", {"csrf": operator.get(path).csrf}).status in {404, 409}
