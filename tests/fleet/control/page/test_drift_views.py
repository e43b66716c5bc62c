"""A report of a fleet whose world changed: what it tells, as a page and as a file."""

from __future__ import annotations

import contextlib
import re

import pytest
from control.page.drifting import HOUR, Drifting
from control.page.fleet import Fleet
from control.page.reading import Page, check_harmless
from edgewright.core.errors import UsageError
from edgewright.fleet.control.database import MEMORY, Database
from edgewright.fleet.control.drift_report.gather import models_of, report_of
from edgewright.fleet.control.drift_report.records import Report
from edgewright.fleet.control.page.drift import drift_page, drift_view, drifts_view
from edgewright.fleet.control.page.drift_file import drift_file
from edgewright.fleet.control.page.glance import fleet_view
from edgewright.fleet.control.page.render import render
from edgewright.fleet.control.people import Person
from simulated import SimulatedClock

LATE_S = 900.0


@pytest.fixture(scope="module")
def world():
    """Ten hours: from the fifth on one batch sees other inputs, and one sensor sticks; labels agree with the estimate."""
    with contextlib.closing(Database(MEMORY, SimulatedClock())) as database:
        fleet = Fleet(database)
        found = Drifting(fleet, fleet.clock.advance, devices=10, of_batch=4)
        found.pass_hours(4, samples=500, labels=60)
        found.pass_hours(6, samples=500, labels=60, shift=1.2, stuck=found.names[:1])
        yield found


@pytest.fixture(scope="module")
def report(world):
    return report_of(world.drift, "digits")


def page(world, template, view, role="operator"):
    me = Person("Ada", role)
    return Page(render(template, view=view, me=me, csrf="c", now=world.fleet.clock.now(), here="/drift", live_s=None))


def test_what_changed_where_and_since_when(world, report):
    batch, device, *_ = report.summary
    assert batch.startswith(
        "Severe drift in devices with batch = 7 (40 % of all devices) since 2027-01-15 13:00 UTC: input x[3]"
    )
    assert "lie above" in batch
    assert device.startswith(f"Severe drift in one device, {world.names[0]} since")
    assert "100 % of the values lie above" in device
    assert report.severity == "severe"
    by_scope = {(item.scope, item.measure) for item in report.alerts if item.state == "open"}
    assert {("attribute batch = 7", "input x[3]"), (f"device {world.names[0]}", "input x[1]")} <= by_scope
    # Each alert's numbers are those of its own scope, not of the fleet.
    drifting = {(item.scope, item.newest.measure): item for item in report.drifting}
    fleet = next(item for item in report.measures if item.newest.measure == "input x[3]")
    assert drifting["attribute batch = 7", "input x[3]"].newest.distance > 2 * fleet.newest.distance
    assert sum(drifting["attribute batch = 7", "input x[3]"].spread.counts) % (4 * 500) == 0


def test_what_it_means_for_accuracy(report):
    accuracy = report.accuracy
    assert accuracy.estimate.low < accuracy.estimate.accuracy < accuracy.estimate.high
    assert accuracy.estimate.accuracy < accuracy.reference
    assert accuracy.withdrawn is None
    assert accuracy.counted.labelled == 600
    assert accuracy.counted.low < accuracy.estimate.accuracy < accuracy.counted.high
    assert "if only the inputs changed" in report.summary[-2]
    assert "agree with the answers" in report.summary[-1]


def test_the_same_report_comes_out_of_its_json(report):
    assert Report.model_validate_json(report.model_dump_json()) == report


def test_a_page_says_it_all(world, report):
    shown = page(world, "drift", drift_page(report, 7 * 86400, Person("Ada", "operator")))
    check_harmless(shown)
    for text in (*report.summary, report.accuracy.assumption, report.accuracy.blind):
        assert " ".join(text.split()) in shown.words.replace("\xa0", " "), text
    assert shown.tags.count("svg") >= 2 * (1 + 1 + 2 * 2)
    assert shown.words.count("Acknowledge") == len([item for item in report.alerts if item.state == "open"])
    where = "/devices?where=batch%20%3D%20%227%22"
    assert ("a", "href", where) in shown.attributes
    assert ("a", "href", f"/devices/{world.names[0]}") in shown.attributes
    viewer = page(world, "drift", drift_page(report, 7 * 86400, Person("Vera", "viewer")), "viewer")
    assert "Acknowledge" not in viewer.words


def test_a_file_loads_nothing_runs_nothing_and_leads_nowhere(world, report):
    shown = Page(drift_file(report))
    assert not set(shown.tags) & {"script", "a", "link", "img", "iframe", "form", "object", "base"}
    for tag, name, value in shown.attributes:
        assert not name.startswith("on"), (tag, name)
        assert name not in ("src", "href", "action", "style"), (tag, name, value)
        assert "//" not in value, (tag, name, value)
    assert not re.search(r"https?:|url\(|@import", shown.text)
    assert ("meta", "content", "default-src 'none'; style-src 'unsafe-inline'") in shown.attributes
    for text in report.summary:
        assert " ".join(text.split()) in shown.words.replace("\xa0", " ")
    assert world.sha256 in shown.words


def test_the_fleet_and_the_list_of_models_lead_there(world):
    with world.fleet.database.reading() as connection:
        notices = fleet_view(connection, world.fleet.clock.now(), LATE_S).notices
    (notice,) = [item for item in notices if item.href == "/drift/digits"]
    assert re.fullmatch(r"Drift of digits: \d+ open alerts", notice.text)
    assert notice.pill.text == "severe"
    (row,) = drifts_view(models_of(world.drift)).rows
    assert (row[0].model, row[1].text) == ("digits", "severe")
    assert ("a", "href", "/drift/digits") in page(world, "drifts", drifts_view(models_of(world.drift))).attributes


def test_what_nobody_counted_is_no_report(world):
    assert report_of(world.drift, "nothing") is None
    with pytest.raises(UsageError, match="no device counted the artifact cdcd"):
        report_of(world.drift, "digits", sha256="cd" * 32)


def test_a_shorter_time_shows_less(world, report):
    shorter = report_of(world.drift, "digits", 2.5 * HOUR)
    assert 1 <= shorter.windows < report.windows
    assert {item.id for item in shorter.alerts} == {item.id for item in report.alerts if item.state != "closed"}


def test_a_fleet_where_nothing_was_judged_says_so(fleet):
    found = page_of_nothing(fleet)
    assert "Nothing has been judged yet" in found.words


def page_of_nothing(fleet):
    from edgewright.fleet.control.drift.store import Drift

    view = drifts_view(models_of(Drift(fleet.database)))
    me = Person("Ada", "viewer")
    return Page(render("drifts", view=view, me=me, csrf="c", now=fleet.clock.now(), here="/drift", live_s=None))


def test_labels_refute_an_estimate_where_inputs_lie_as_they_did(fleet):
    world = Drifting(fleet, fleet.clock.advance, devices=2, of_batch=1)
    world.pass_hours(4, labels=300, right_less=0.2)
    report = report_of(world.drift, "digits")
    assert report.severity is None
    assert report.summary[0].startswith("The estimate of accuracy is withdrawn, because labels contradict it")
    view = drift_view(report)
    assert (view.pill.text, view.pill.kind) == ("the estimate is withdrawn", "bad")
    assert dict(view.facts)["Estimated accuracy"] == "withdrawn"
    assert "the estimate is withdrawn" in str(view.accuracy.wide)
    assert [pill.text for _, pill, _ in drifts_view(models_of(world.drift)).rows] == ["the estimate is withdrawn"]
    with fleet.database.reading() as connection:
        told = [item for item in fleet_view(connection, fleet.clock.now(), LATE_S).notices if item.pill.text == "withdrawn"]
    assert [item.href for item in told] == ["/drift/digits"]
    assert told[0].text.startswith("The estimated accuracy of digits is withdrawn: labels contradict it")


def test_without_labels_at_compile_time_accuracy_is_said_to_be_unknown(fleet):
    world = Drifting(fleet, fleet.clock.advance, devices=2, of_batch=1, has_labels=False)
    world.pass_hours(1)
    report = report_of(world.drift, "digits")
    assert report.accuracy.estimate is None
    words = page(world, "drift", drift_page(report, 7 * 86400, Person("Ada", "viewer"))).words
    assert "It cannot be estimated" in words
    assert report.accuracy.blind in words


def test_an_artifact_without_bins_is_told_as_such(fleet):
    sha256 = fleet.artifact(3)
    fleet.count(fleet.device(), sha256)
    from edgewright.fleet.control.drift.store import Drift

    report = report_of(Drift(fleet.database), "digits")
    assert report.windows == 0
    shown = Page(drift_file(report)).words
    assert "Not judged: the artifact was published without bins" in shown
    assert "Nothing of this model has been judged yet." in shown
