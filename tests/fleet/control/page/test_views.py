from __future__ import annotations

import pytest
from control.page.fleet import Fleet, sha
from control.page.reading import Page
from edgewright.core.manifest import HistogramBins
from edgewright.fleet.control.api.parts import Parts
from edgewright.fleet.control.attributes import set_attributes
from edgewright.fleet.control.groups import set_group
from edgewright.fleet.control.page.devices import PAGE, device_view, devices_view
from edgewright.fleet.control.page.glance import fleet_view
from edgewright.fleet.control.page.records import artifacts_view, audit_view
from edgewright.fleet.control.page.render import render
from edgewright.fleet.control.page.rollout import rollout_view
from edgewright.fleet.control.page.telemetry import telemetry_view
from edgewright.fleet.control.page.traffic import latency_quantile, latency_text
from edgewright.fleet.control.people import Person
from edgewright.fleet.protocol.assignment import Wanted
from edgewright.fleet.protocol.bins import encode_bins
from edgewright.fleet.protocol.window import LATENCY_BINS, LATENCY_EDGES_MS
from edgewright.fleet.rollout.plan import Plan, Stage

LATE_S = 900.0


def read(fleet, gather, *arguments):
    with fleet.database.reading() as connection:
        return gather(connection, fleet.clock.now(), *arguments)


def page(fleet, template, view, here="/"):
    me = Person("Ada", "operator")
    return Page(render(template, view=view, me=me, csrf="c", now=fleet.clock.now(), here=here, live_s=None))


def test_a_fleet_of_nobody_says_how_to_begin(fleet):
    words = page(fleet, "fleet", read(fleet, fleet_view, LATE_S)).words
    assert "No device has told yet what it runs." in words
    assert "edgewright rollout create" in words
    assert "edgewright devices enrol" in page(fleet, "devices", read(fleet, devices_view, LATE_S, "", "")).words


def test_what_runs_is_what_devices_say(fleet):
    three, four = fleet.artifact(3), fleet.artifact(4)
    for number in range(5):
        fleet.tell(fleet.device(), three if number < 4 else four)
    silent = fleet.device(seen_s=90_000.0)
    fleet.tell(silent, sha("made elsewhere"))
    revoked = fleet.device()
    fleet.tell(revoked, four)
    fleet.store.revoke(revoked, "Ada")
    view = read(fleet, fleet_view, LATE_S)
    assert dict(view.facts)["Devices"] == "6"
    assert dict(view.facts)["Seen in the last 15 min"] == "5"
    (model,) = view.models
    assert [(row.name, row.devices) for row in model.versions[:2]] == [
        ("version 3", 4),
        ("unknown " + sha("made elsewhere")[:8], 1),
    ]
    assert model.devices == 6
    (notice,) = view.notices
    assert notice.text == "1 device has not asked for more than a day."
    # The link shows the very devices that were counted.
    where = "seen_s > 86400 and not has revoked"
    assert notice.href == "/devices?where=seen_s%20%3E%2086400%20and%20not%20has%20revoked"
    assert [row.device for row in read(fleet, devices_view, LATE_S, where, "").rows] == [silent]


def test_devices_of_a_query(fleet):
    lab, field = fleet.device(), fleet.device(seen_s=7200.0)
    set_attributes(fleet.store, lab, {"site": "lab"}, "Ada")
    set_group(fleet.database, "beta", "site = lab", "Ada")
    view = read(fleet, devices_view, LATE_S, "group = beta", "")
    assert [(row.device, row.pill.text) for row in view.rows] == [(lab, "alive")]
    assert view.matched == 1
    assert dict(view.rows[0].attributes) == {"site": "lab", "profile": "raspberry-pi-4b", "arch": "aarch64", "group": "beta"}
    words = page(fleet, "devices", view).words
    assert "1 device matches." in words
    assert "beta" in words
    others = read(fleet, devices_view, LATE_S, "not has site", "")
    assert [(row.device, row.pill.text) for row in others.rows] == [(field, "silent")]


def test_a_query_that_cannot_be_read_is_told_beside_it(fleet):
    fleet.device()
    view = read(fleet, devices_view, LATE_S, 'site = "lab', "")
    assert view.rows == ()
    shown = page(fleet, "devices", view)
    assert "character 8" in shown.words
    assert ("input", "value", 'site = "lab') in shown.attributes
    assert ("input", "aria-invalid", "true") in shown.attributes


def test_more_devices_than_a_page(fleet):
    names = sorted(fleet.device() for _ in range(PAGE + 3))
    first = read(fleet, devices_view, LATE_S, "", "")
    assert [row.device for row in first.rows] == names[:PAGE]
    assert first.matched == PAGE + 3
    second = read(fleet, devices_view, LATE_S, "", first.after)
    assert [row.device for row in second.rows] == names[PAGE:]
    assert second.after == ""


def test_one_device_with_all_that_is_known(fleet):
    three, four = fleet.artifact(3), fleet.artifact(4)
    name = fleet.device()
    fleet.store.assign(name, Wanted("digits", four), "Ada")
    fleet.store.assign(name, Wanted("sounds"), "Ada")
    fleet.tell(name, three, "ArtifactCommit", None, target=four)
    fleet.tell(name, three, "Idle", "FAILED_ROLLBACK_COMPLETE", "the self-test gave 3 other answers of 16", target=four)
    fleet.count(name, three, requests=990, errors=10)
    view = read(fleet, device_view, LATE_S, name)
    digits, sounds = view.models
    assert (digits.version, digits.wanted, digits.pill.text) == ("3", "4", "failed, rolled back")
    assert (sounds.wanted, sounds.pill.text) == ("the newest that fits", "told nothing yet")
    assert [pill.text for _, _, pill, _ in view.reports] == ["failed, rolled back", "on trial"]
    (traffic,) = view.traffic
    assert (traffic.name, traffic.requests, traffic.error_share) == ("digits 3", 990, 0.01)
    words = page(fleet, "device", view).words
    assert "the self-test gave 3 other answers of 16" in words
    assert "ram_mb 3792" in words


def test_a_device_that_is_none(fleet):
    assert read(fleet, device_view, LATE_S, "nobody") is None


def test_artifacts_with_their_gates_and_who_runs_them(fleet):
    three = fleet.artifact(3, is_gone=True)
    fleet.artifact(4, is_canary=True, latency=None)
    fleet.tell(fleet.device(), three)
    with fleet.database.reading() as connection:
        view = artifacts_view(connection)
    ((model, (new, old)),) = view.models
    assert model == "digits"
    assert (new.version, new.is_canary, new.latency, new.running) == (4, True, "not measured", 0)
    assert (old.version, old.is_gone, old.latency, old.running) == (3, True, "0.56 ms", 1)
    words = page(fleet, "artifacts", view).words
    assert "passed top1 >= -1pt" in words
    assert "undecided f1 >= -2pt on sex=female" in words
    assert "withdrawn" in words


def test_the_audit_log_backwards_page_by_page(fleet):
    for _ in range(130):
        fleet.store.make_token(60.0, "Ada")
    with fleet.database.reading() as connection:
        first, second = audit_view(connection, None), audit_view(connection, 31)
    assert [row.place for row in first.rows] == list(range(130, 30, -1))
    assert first.older == 31
    assert [row.place for row in second.rows] == list(range(30, 0, -1))
    assert second.older is None
    assert "130 entries" in page(fleet, "audit", first).words


def test_a_log_that_was_tampered_with(fleet):
    fleet.device()
    with fleet.database.transaction() as connection:
        for trigger in connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'trigger'").all():
            connection.exec_driver_sql(f'DROP TRIGGER "{trigger.name}"')
        connection.exec_driver_sql("UPDATE audit SET actor = 'nobody' WHERE place = 2")
    with fleet.database.reading() as connection:
        view = audit_view(connection, None)
    words = page(fleet, "audit", view).words
    assert "The chain is broken" in words
    assert "entry 2" in words


def test_telemetry_by_version_and_over_time(fleet):
    three, four = fleet.artifact(3), fleet.artifact(4)
    lab, field = fleet.device(site="lab"), fleet.device(site="field")
    fleet.count(lab, three, windows=20, p50_ms=0.6)
    fleet.count(field, four, windows=20, p50_ms=3.0, errors=50)
    view = telemetry_view(fleet.database, fleet.clock.now(), "", "")
    assert view.model == "digits"
    new, old = view.cohorts
    assert (new.name, new.devices, new.requests) == ("version 4, raspberry-pi-4b", 1, 20_000)
    assert new.error_share == pytest.approx(50 / 1050)
    assert old.errors == 0
    assert float(new.p50) > 3 * float(old.p50)
    assert [figure.title for figure in view.figures] == [
        "How latencies spread",
        "90 % of requests are answered within",
        "Requests that failed",
    ]
    for figure in view.figures:
        assert "version 4" in str(figure.wide)
        assert "version 3" in str(figure.narrow)
    only = telemetry_view(fleet.database, fleet.clock.now(), "digits", "site = lab")
    assert [row.name for row in only.cohorts] == ["version 3, raspberry-pi-4b"]
    assert "version 4" not in str(only.figures[1].wide)
    wrong = telemetry_view(fleet.database, fleet.clock.now(), "digits", "site =")
    assert "character" in wrong.error
    assert page(fleet, "telemetry", wrong).words.count(wrong.error) == 1


def test_confidence_where_the_artifact_has_bins_of_it(fleet):
    bins = encode_bins([HistogramBins("confidence", "confidence", (0.5, 0.75, 1.0), (0, 0, 0, 0))])
    plain, known = fleet.artifact(3), fleet.artifact(4, bins=bins)
    fleet.count(fleet.device(), plain)
    fleet.count(fleet.device(), known, requests=4, tensors=((0, 1, 3, 0),))
    view = telemetry_view(fleet.database, fleet.clock.now(), "digits", "")
    assert [row.confidence for row in view.cohorts] == [pytest.approx((0.625 + 3 * 0.875) / 4), None]
    assert "81.2 %" in page(fleet, "telemetry", view).words


def test_every_view_on_every_kind_of_database(database):
    fleet = Fleet(database)
    three, _ = fleet.artifact(3), fleet.artifact(4)
    for number in range(6):
        name = fleet.device(seen_s=100_000.0 * (number == 0))
        fleet.tell(name, three)
        fleet.count(name, three, windows=3)
    number = fleet.roll_out(Plan("digits", 4, stages=(Stage(count=3), Stage()), observe_s=0.0))
    fleet.answer(number, bad={0}, silent={1})
    parts = Parts(database, fleet.store, fleet.people, fleet.rollouts)
    seen = [
        page(fleet, "fleet", read(fleet, fleet_view, LATE_S)),
        page(fleet, "devices", read(fleet, devices_view, LATE_S, "has profile", "")),
        page(fleet, "device", read(fleet, device_view, LATE_S, name)),
        page(fleet, "rollout", rollout_view(parts, Person("Ada", "admin"), number, True)),
        page(fleet, "telemetry", telemetry_view(database, fleet.clock.now(), "", "has profile")),
    ]
    with database.reading() as connection:
        seen += [page(fleet, "artifacts", artifacts_view(connection)), page(fleet, "audit", audit_view(connection, None))]
    words = [found.words for found in seen]
    assert "1 device has not asked for more than a day." in words[0]
    assert "6 devices match." in words[1]
    assert "1 good, 1 bad, 1 without an answer yet" in words[3]
    assert "version 3, raspberry-pi-4b" in words[4]
    assert "The chain holds" in words[6]


def test_telemetry_of_nothing(fleet):
    assert "No telemetry has come yet." in page(fleet, "telemetry", telemetry_view(fleet.database, 0.0, "", "")).words


@pytest.mark.parametrize(
    ("place", "share", "edge"),
    [(0, 0.5, LATENCY_EDGES_MS[0]), (10, 0.99, LATENCY_EDGES_MS[10]), (LATENCY_BINS - 1, 0.5, float("inf"))],
)
def test_a_latency_is_the_upper_edge_of_its_bin(place, share, edge):
    counts = [0] * LATENCY_BINS
    assert latency_quantile(counts, share) is None
    counts[place] = 7
    assert latency_quantile(counts, share) == edge


def test_latencies_in_words():
    assert [latency_text(value) for value in (None, 1.333521, float("inf"))] == ["–", "1.33", "> 10,000"]
