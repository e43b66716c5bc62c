"""Splits are disjoint by content, complete, safe for groups, and independent of order."""

from __future__ import annotations

import numpy as np
import pytest
from edgewright.calibration.dataset import Batch, Dataset, read_column
from edgewright.calibration.opening import open_dataset
from edgewright.calibration.splits import Splits, make_splits, part_sizes
from edgewright.core.errors import DataError, UsageError
from edgewright.core.executor import TensorSpec
from hypothesis import given, settings
from hypothesis import strategies as st


def data_of(contents: list[int], groups: list[int] | None = None) -> dict[str, np.ndarray]:
    """Samples whose content is a number; their label is the row, so that rows can be told apart."""
    values = np.array(contents, np.float32)[:, None] * np.ones((1, 3), np.float32)
    return {"x": values, "y": np.arange(len(contents)) % 3, "who": np.array([str(g) for g in groups or contents])}


def contents_of(splits: Splits) -> dict[str, list[float]]:
    found = {
        part.name: [float(v) for batch in part.batches(64) for v in batch.inputs["x"][:, 0]]
        for part in splits.parts()
        if len(part)
    }
    if splits.spare:
        found["spare"] = splits.accept.data.read(splits.spare).inputs["x"][:, 0].tolist()
    return found


_contents = st.lists(st.integers(0, 60), min_size=4, max_size=150).filter(lambda values: len(set(values)) >= 4)


@settings(deadline=None)
@given(_contents, st.integers(1, 100), st.integers(1, 40), st.integers(1, 40), st.sampled_from([0, 0.1, 0.25, 5]))
def test_disjoint_complete_and_duplicates_together(contents, accept, search, calib, audit) -> None:
    splits = make_splits(open_dataset(data_of(contents)), accept, search, calib, audit)
    rows = [index for part in splits.parts() for index in part.indices] + list(splits.spare)
    assert sorted(rows) == list(range(len(contents)))
    assert all(len(part) for part in splits.parts())
    assert (splits.audit is not None) == bool(audit)
    owners: dict[float, set[str]] = {}
    for name, values in contents_of(splits).items():
        for value in values:
            owners.setdefault(value, set()).add(name)
    assert all(len(names) == 1 for names in owners.values())


@settings(deadline=None)
@given(_contents, st.randoms(use_true_random=False), st.text(max_size=5))
def test_independent_of_row_order(contents, random, seed_text) -> None:
    turned = contents.copy()
    random.shuffle(turned)
    first = make_splits(open_dataset(data_of(contents)), 30, 10, 10, seed_text=seed_text)
    second = make_splits(open_dataset(data_of(turned)), 30, 10, 10, seed_text=seed_text)
    assert contents_of(first) == contents_of(second)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 12)), min_size=8, max_size=150), st.integers(1, 60))
def test_groups_stay_together(pairs, accept) -> None:
    contents, groups = [list(values) for values in zip(*pairs, strict=True)]
    data = open_dataset(data_of(contents, groups))
    try:
        splits = make_splits(data, accept, 10, 10, groups=("who",))
    except DataError as error:
        assert "groups in column 'who'" in str(error)  # noqa: PT017
        return
    owner: dict[str, str] = {}
    for part in splits.parts():
        assert len(part)
        for index in part.indices:
            assert owner.setdefault(str(groups[index]), part.name) == part.name


@given(st.integers(4, 5000), st.integers(0, 4000), st.integers(0, 1000), st.integers(0, 1000), st.floats(0, 0.9))
def test_sizes_never_exceed(count, accept, search, calib, audit) -> None:
    sizes = part_sizes(count, accept, search, calib, audit)
    assert sum(sizes.values()) <= count
    assert min(sizes.values()) >= 0
    assert sizes["accept"] <= accept
    assert sizes["search"] <= search
    assert sizes["calib"] <= calib
    if calib and accept:
        assert sizes["calib"] >= min(calib, 16, (count - sizes["audit"]) // 4)


@pytest.mark.parametrize(
    ("count", "asked", "want"),
    [
        (10_000, (3000, 500, 300), (3000, 500, 300)),
        (100, (268, 200, 200), (68, 16, 16)),
        (300, (268, 200, 200), (240, 30, 30)),
        (20, (268, 200, 200), (10, 5, 5)),
        (3, (268, 200, 200), (1, 1, 1)),
        (400, (268, 200, 100), (268, 77, 55)),
    ],
)
def test_the_rule(count, asked, want) -> None:
    sizes = part_sizes(count, *asked)
    assert (sizes["accept"], sizes["search"], sizes["calib"]) == want
    splits = make_splits(open_dataset(data_of(list(range(count)))), *asked)
    assert tuple(len(part) for part in splits.parts()) == want
    assert len(splits.spare) == count - sum(want)


def test_seed_changes_the_cut() -> None:
    data = open_dataset(data_of(list(range(200))))
    one, two = make_splits(data, 100, 50, 50), make_splits(data, 100, 50, 50, seed_text="other")
    assert set(one.accept.indices) != set(two.accept.indices)


def test_one_large_group_does_not_starve_calibration() -> None:
    data = open_dataset(data_of(list(range(300)), [0] * 280 + [1] * 10 + [2] * 10))
    splits = make_splits(data, 250, 30, 30, groups=("who",))
    assert all(len(part) for part in splits.parts())


def test_a_flood_of_duplicates_does_not_drown_a_part() -> None:
    splits = make_splits(open_dataset(data_of([7] * 5000 + list(range(100, 400)))), 298, 200, 200)
    assert [len(part) for part in splits.parts()] == [298, 2, 5000]
    many = make_splits(open_dataset(data_of([7] * 5000 + list(range(100, 1000)))), 298, 200, 200)
    assert [len(part) for part in many.parts()] == [298, 200, 200]


def test_errors() -> None:
    data = open_dataset(data_of([1, 1, 1, 1, 2]))
    with pytest.raises(DataError, match="2 different samples and 3 parts"):
        make_splits(data, 10, 10, 10)
    with pytest.raises(UsageError, match="did you mean 'who'"):
        make_splits(data, 1, 1, 0, groups=("whom",))
    with pytest.raises(UsageError, match="at least 0"):
        make_splits(data, -1, 1, 1)
    with pytest.raises(UsageError, match="at least 0"):
        make_splits(data, 1, 1, 1, audit=float("nan"))


class Foreign:
    """A data set that offers the contract and no more."""

    inputs = (TensorSpec("x", "float32", (None, 2)),)
    columns = ()
    has_labels = False
    digest = "0" * 64

    def __len__(self) -> int:
        return 30

    def read(self, indices) -> Batch:
        return Batch({"x": np.array([[i, i] for i in indices], np.float32)}, None, {}, indices)


def test_any_dataset_can_be_split() -> None:
    splits = make_splits(Foreign(), 10, 5, 5)
    assert [len(part) for part in splits.parts()] == [10, 5, 5]


def of(start: int, groups: list[int] | None = None) -> Dataset:
    return open_dataset(data_of(list(range(start, start + 100)), groups))


def test_a_data_set_a_part() -> None:
    splits = Splits.from_datasets(accept=of(0), search=of(100), calib=of(200))
    assert [len(part) for part in splits.parts()] == [100, 100, 100]
    taken = Splits.from_datasets(accept=of(0), search=None, calib=of(200))
    assert (len(taken.search), len(taken.calib)) == (25, 75)
    assert not set(taken.search.indices) & set(taken.calib.indices)
    with pytest.raises(DataError, match=r"1 sample\(s\) of the calib file, the first at 0, are in the accept file"):
        Splits.from_datasets(accept=of(0), search=None, calib=of(99))
    with pytest.raises(DataError, match="other classes"):
        Splits.from_datasets(
            accept=open_dataset({"x": np.zeros((1, 2)), "y": np.array(["a"])}),
            search=None,
            calib=open_dataset({"x": np.ones((1, 2)), "y": np.array(["b"])}),
        )


def test_groups_stay_together_in_what_is_cut_from_a_file_of_its_own() -> None:
    accept, calib = of(0, [i // 10 for i in range(100)]), of(100, [50 + i // 10 for i in range(100)])
    splits = Splits.from_datasets(accept=accept, search=None, calib=calib, audit=0.2, groups=("who",))
    owner: dict[str, str] = {}
    for part in splits.parts():
        for value in read_column(part.data, "who", part.indices):
            assert owner.setdefault(str(value), part.name) == part.name
    assert len(splits.parts()) == 4


def test_groups_in_two_files_are_refused() -> None:
    accept, calib = of(0, [i // 10 for i in range(100)]), of(100, [9 + i // 10 for i in range(100)])
    with pytest.raises(DataError, match=r"1 value\(s\) of 'who' in the calib file, the first '9', are in the accept file"):
        Splits.from_datasets(accept=accept, search=None, calib=calib, groups=("who",))
    with pytest.raises(DataError, match=r"in the audit file.*are in the data file too"):
        make_splits(accept, 50, 25, 25, groups=("who",)).with_audit(calib, ("who",))
    bare = open_dataset({"x": np.full((20, 3), 7777, np.float32) + np.arange(20, dtype=np.float32)[:, None]})
    with pytest.raises(DataError, match="the calib file has no column 'who'"):
        Splits.from_datasets(accept=accept, search=None, calib=bare, groups=("who",))


def test_samples_that_agree_in_any_column_of_groups_stay_together() -> None:
    who, where = ([3 * block + value for block in range(10) for value in values] for values in ((0, 0, 1, 2), (0, 1, 1, 2)))
    both = data_of(list(range(40)), who) | {"where": np.array(list(map(str, where)))}
    splits = make_splits(open_dataset(both), 20, 8, 8, groups=("who", "where"))
    owner: dict[tuple[str, str], str] = {}
    for part in splits.parts():
        for name in ("who", "where"):
            for value in read_column(part.data, name, part.indices):
                assert owner.setdefault((name, str(value)), part.name) == part.name


def test_an_audit_part_beside_files_of_their_own() -> None:
    accept, calib, other = (open_dataset(data_of(list(range(start, start + 100)))) for start in (0, 100, 200))
    splits = Splits.from_datasets(accept=accept, search=None, calib=calib, audit=0.2)
    assert [len(part) for part in splits.parts()] == [80, 25, 75, 20]
    assert splits.audit is not None
    assert splits.audit.data is accept
    assert not set(splits.audit.indices) & set(splits.accept.indices)
    cut = make_splits(accept, 50, 25, 25).with_audit(other)
    assert [len(part) for part in cut.parts()] == [50, 25, 25, 100]
    with pytest.raises(DataError, match="are in the data file too"):
        make_splits(accept, 50, 25, 25).with_audit(accept)
