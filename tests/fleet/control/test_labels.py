"""Labels: all of a push or nothing, once, and counts of what was answered beside what was true that nobody's choice bends."""

from __future__ import annotations

import pytest
from control.rows import MODEL, everything, fill, keep_sample, send, window
from edgewright.cli.labels import _written
from edgewright.core.errors import UsageError
from edgewright.core.manifest import HistogramBins
from edgewright.fleet.control import audit
from edgewright.fleet.control.labels import Outcome, SampleLabel, _within, push
from edgewright.fleet.control.samples import Samples
from edgewright.fleet.control.store import Store
from edgewright.fleet.control.tables import ARTIFACTS, OUTCOMES
from edgewright.fleet.protocol.assignment import Wanted
from edgewright.fleet.protocol.bins import encode_bins
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

SHA256, OTHER = "ab" * 32, "cd" * 32


def counts(database):
    with database.reading() as connection:
        rows = connection.execute(select(OUTCOMES).order_by(*OUTCOMES.primary_key))
        return [(row.sha256, row.device, row.start, row.predicted, row.label, row.count) for row in rows]


def state(database):
    return {name: rows for name, rows in everything(database).items() if name in ("samples", "outcomes", "pushes", "audit")}


@pytest.fixture
def device(database):
    return fill(database, 1)[0][0]


def test_labels_of_samples_count_once_however_often_they_come(database, device):
    names = [keep_sample(database, device, number) for number in range(3)]
    rows = [SampleLabel(name, label) for name, label in zip(names, ("1", "1", "2"), strict=True)]
    pushed = push(database, MODEL, rows, "ada")
    assert (pushed.rows, pushed.is_new, pushed.changed) == (3, True, 3)
    before = state(database)
    again = push(database, MODEL, rows, "bob")
    assert (again.digest, again.is_new, again.changed) == (pushed.digest, False, 0)
    assert state(database) == before
    assert counts(database) == [(SHA256, device, 7200, 1, 1, 2), (SHA256, device, 7200, 1, 2, 1)]
    found = Samples(database).listed(MODEL, "labelled")
    assert {(item.id, item.label, item.labelled_by) for item in found} == {(row.sample, row.label, "ada") for row in rows}
    with database.reading() as connection:
        entry = audit.latest(connection, 1)[0]
    assert (entry.actor, entry.action, entry.subject) == ("ada", "push-labels", MODEL)
    assert entry.details == {"changed": 3, "digest": pushed.digest, "rows": 3}


def test_another_label_takes_the_place_of_the_one_before(database, device):
    name = keep_sample(database, device)
    push(database, MODEL, [SampleLabel(name, "2")], "ada")
    assert push(database, MODEL, [SampleLabel(name, "1")], "ada").changed == 1
    assert counts(database) == [(SHA256, device, 7200, 1, 1, 1)]
    (found,) = Samples(database).listed(MODEL)
    assert found.label == "1"


def test_only_samples_that_chance_drew_tell_the_accuracy(database, device):
    hard = keep_sample(database, device, 1, reasons=["low confidence"])
    both = keep_sample(database, device, 2, reasons=["random", "low confidence"])
    silent = keep_sample(database, device, 3, predicted=None)
    push(database, MODEL, [SampleLabel(name, "0") for name in (hard, both, silent)], "ada")
    assert counts(database) == [(SHA256, device, 7200, 1, 0, 1)]
    assert len(Samples(database).listed(MODEL, "labelled")) == 3


def test_a_row_that_is_wrong_takes_the_whole_push_back(database, device):
    name = keep_sample(database, device)
    before = state(database)
    for rows, sentence in (
        ([SampleLabel(name, "1"), SampleLabel("0" * 64, "1")], "row 2: 'digits' has no sample 0000"),
        ([SampleLabel(name, "1"), SampleLabel(name, "2")], "row 2: .* another label"),
        ([SampleLabel(name, "cat")], "row 1: the label 'cat' is no class number"),
        ([SampleLabel(name, "1.5")], "no class number"),
        ([SampleLabel(name, "-1")], "no class number"),
        ([SampleLabel(name, "99999999999")], "no class number"),
        ([Outcome(device, 1.0, 1, 1, SHA256), Outcome("nobody", 1.0, 1, 1)], "row 2: no device 'nobody' has enrolled"),
        ([Outcome(device, float("nan"), 1, 1, SHA256)], "row 1: nan is no time"),
        ([Outcome(device, -1.0, 1, 1, SHA256)], "is no time"),
        ([Outcome(device, 1.0, 1, 2**31, SHA256)], "row 1: the label 2147483648 is none"),
        ([], "no labels"),
    ):
        with pytest.raises(UsageError, match=sentence):
            push(database, MODEL, rows, "ada")
        assert state(database) == before
    Store(database).assign(device, Wanted("faces", SHA256), "test")
    other = keep_sample(database, device, 5, model="faces")
    with pytest.raises(UsageError, match="has no sample"):
        push(database, MODEL, [SampleLabel(other, "1")], "ada")


def test_a_value_labels_what_names_no_class(database, device):
    name = keep_sample(database, device, predicted=None)
    with pytest.raises(UsageError, match="no class number"):
        push(database, MODEL, [SampleLabel(name, "nan")], "ada")
    push(database, MODEL, [SampleLabel(name, "-1.5e3")], "ada")
    assert Samples(database).listed(MODEL)[0].label == "-1.5e3"
    assert counts(database) == []


def test_classes_are_those_of_the_artifact(database, device):
    bins = encode_bins([HistogramBins("y", "prediction", (0.0, 1.0, 2.0, 3.0), (0, 1, 1, 1, 0))])
    with database.transaction() as connection:
        connection.execute(
            ARTIFACTS.insert().values(
                name="digits/pi/1.ewa", model=MODEL, version=1, profile="pi", is_canary=False, sha256=SHA256, length=1,
                offer="{}", first_seen_at=0.0, bins=bins,
            )
        )  # fmt: skip
    name = keep_sample(database, device)
    with pytest.raises(UsageError, match=r"row 1: the label 3 is none of the model's classes; they run from 0 to 2\."):
        push(database, MODEL, [SampleLabel(name, "3")], "ada")
    with pytest.raises(UsageError, match="the predicted class 3 is none"):
        push(database, MODEL, [Outcome(device, 1.0, 3, 1, SHA256)], "ada")
    assert push(database, MODEL, [Outcome(device, 1.0, 3, 1, OTHER)], "ada").is_new  # an artifact of which nothing is known


def test_answers_count_by_the_hour_and_by_what_ran_then(database, device):
    send(Store(database), device, window(50_000, sha256=OTHER), stream="2-b")  # fill: windows of SHA256 at 0 and 60
    rows = [
        Outcome(device, 30.0, 1, 1), Outcome(device, 90.5, 1, 0), Outcome(device, 50_030.0, 1, 1),
        Outcome(device, 90_000.0, 2, 2), Outcome(device, 50_030.0, 1, 1, SHA256), Outcome(device, 31.0, 1, 1),
    ]  # fmt: skip
    assert push(database, MODEL, rows, "ada").changed == 6
    assert sorted(counts(database)) == sorted(
        [
            (SHA256, device, 0, 1, 1, 2), (SHA256, device, 0, 1, 0, 1), (OTHER, device, 46_800, 1, 1, 1),
            ("", device, 90_000, 2, 2, 1), (SHA256, device, 46_800, 1, 1, 1),
        ]
    )  # fmt: skip
    push(database, MODEL, [Outcome(device, 32.0, 1, 1)], "ada")
    assert (SHA256, device, 0, 1, 1, 3) in counts(database)


@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.dictionaries(st.integers(0, 4), st.integers(0, 2), min_size=1), min_size=1, max_size=6))
def test_counts_are_those_of_the_last_labels(tmp_path_factory, clock, pushes):
    """Whatever order labels come in and whatever they put right: the counts are of what the samples say in the end."""
    from edgewright.fleet.control.database import MEMORY, Database

    database = Database(MEMORY, clock)
    (device,), _ = fill(database, 1)
    names = [keep_sample(database, device, number) for number in range(5)]
    for labels in pushes:
        push(database, MODEL, [SampleLabel(names[number], str(label)) for number, label in labels.items()], "ada")
    found = {item.id: item.label for item in Samples(database).listed(MODEL, "labelled")}
    expected = {}
    for label in found.values():
        expected[int(label)] = expected.get(int(label), 0) + 1
    assert {label: count for *_, label, count in counts(database)} == expected
    database.close()


spans = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 20)), max_size=8)


@given(spans, st.sets(st.integers(0, 60), max_size=8))
def test_what_ran_at_a_time_is_what_began_last_of_all_that_hold_it(spans, times):
    rising = sorted((start, start + length, str(number)) for number, (start, length) in enumerate(spans))
    found = dict(_within(rising, sorted(times)))
    for at in times:
        holding = [name for start, end, name in rising if start <= at <= end]
        assert found.get(at) == (holding[-1] if holding else None)


class Counting(list):
    """A list that counts how often an element was looked at."""

    looks = 0

    def __getitem__(self, place):
        self.looks += 1
        return super().__getitem__(place)


def test_answers_are_found_without_searching_all_windows_for_each():
    spans = Counting((hour * 3600, hour * 3600 + 3599, "a") for hour in range(8760))
    times = [hour * 3600 + 1.0 for hour in range(8000, 8760)]
    assert len(list(_within(spans, times))) == 760
    assert spans.looks < 3 * (8760 + 760)


def test_a_time_that_no_calendar_has_is_written_as_a_number():
    item = {"id": "a" * 64, "label": None, "device": "d", "predicted": 1, "confidence": 0.5}
    lines = _written([{**item, "at": 2.0**40}, {**item, "at": 0.0}]).decode().splitlines()
    assert [line.split(",")[3] for line in lines[1:]] == ["1099511627776.0", "1970-01-01T00:00:00Z"]
