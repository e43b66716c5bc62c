"""Disjoint parts of the data: by content, so that neither the order of rows nor a file's name decides where a sample goes.

Samples with the same inputs, and samples of one group, form a unit, and a unit is never cut. Units are put into an order by
a hash of their content (and `seed_text`), and fill the parts in turn.

How many samples each part gets, of `n`:
1. `audit`, a number or a share, only when asked for, at most a quarter of n;
2. where the rest is enough, what was asked for; what is left over is `spare` and belongs to no part;
3. else `calib` and `search` keep at least 16 samples or a tenth, whichever is more (never more than asked, nor than a quarter
   of the rest); `accept` takes what it needs of the remainder, and what it leaves is shared in proportion to what is missing.
Groups larger than a part make these numbers approximate; no part that was asked for stays empty.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..core.errors import DataError, UsageError, unknown
from .content import sample_hashes, sample_records
from .dataset import Dataset, Split, is_partial, read_column

_LEAST = 16
_PARTS = ("accept", "search", "calib", "audit")
_MOST_SEARCH_OF_CALIB = 512


@dataclass(frozen=True)
class Splits:
    """The parts. `audit` is None unless asked for; `spare` are the indices that nobody needed."""

    accept: Split
    search: Split
    calib: Split
    audit: Split | None = None
    spare: tuple[int, ...] = ()

    def parts(self) -> tuple[Split, ...]:
        """The parts that there are."""
        return tuple(part for part in (self.accept, self.search, self.calib, self.audit) if part is not None)

    @staticmethod
    def from_datasets(
        *,
        accept: Dataset,
        search: Dataset | None,
        calib: Dataset,
        audit: Dataset | float | None = None,
        groups: Sequence[str] = (),
    ) -> Splits:
        """One data set a part; without `search`, a quarter of `calib` (at most 512 samples) is taken for it.

        An `audit` that is a share or a number of samples is set aside from `accept`. `groups` are as in `make_splits`.

        Raises DataError where two parts share a sample, by content, or a group, where one lacks the column of the groups, and
        where two name their classes differently.
        """
        given = {"accept": accept, "search": search, "calib": calib, "audit": audit}
        datasets = {name: data for name, data in given.items() if data is not None and not isinstance(data, (int, float))}
        _refuse_overlap(datasets)
        _refuse_shared_groups(datasets, groups)
        whole = {name: Split(name, data, _ordered(data, range(len(data)), "")) for name, data in datasets.items()}
        if search is None:
            count = min(_MOST_SEARCH_OF_CALIB, max(1, len(calib) // 4))
            taken = make_splits(calib, 0, count, len(calib) - count, groups=groups)
            whole["search"], whole["calib"] = taken.search, taken.calib
        if isinstance(audit, (int, float)) and audit:
            cut = make_splits(accept, len(accept), 0, 0, audit, groups)
            whole |= {part.name: part for part in (cut.accept, cut.audit) if part is not None}
        return Splits(whole["accept"], whole["search"], whole["calib"], whole.get("audit"))

    def with_audit(self, audit: Dataset, groups: Sequence[str] = ()) -> Splits:
        """These parts of one data set and an audit part of its own; raises DataError where they share a sample or a group."""
        datasets = {"data": self.accept.data, "audit": audit}
        _refuse_overlap(datasets)
        _refuse_shared_groups(datasets, groups)
        return replace(self, audit=Split("audit", audit, _ordered(audit, range(len(audit)), "")))


def make_splits(
    dataset: Dataset,
    accept_needed: int,
    search: int,
    calib: int,
    audit: float = 0,
    groups: Sequence[str] = (),
    seed_text: str = "",
) -> Splits:
    """Cut `dataset` by the rule above; a part of 0 stays empty. `audit` below 1 is a share, else a number of samples.

    `groups` name the columns (speaker, patient, video) whose samples stay together: samples that agree in any of them. Raises
    DataError where there are fewer units than parts, and UsageError on impossible numbers.
    """
    if min(accept_needed, search, calib) < 0 or not 0 <= audit < float("inf"):
        raise UsageError("the sizes of the parts must be at least 0; correct the one that is not.")
    for group in groups:
        if group not in dataset.columns:
            raise UsageError(unknown("group column", group, dataset.columns))
    hashes = sample_hashes(dataset)
    units = _units(dataset, hashes, groups, seed_text)
    sizes = part_sizes(len(dataset), accept_needed, search, calib, audit)
    wanted = [name for name, asked in zip(_PARTS, (accept_needed, search, calib, audit), strict=True) if asked]
    if len(units) < len(wanted):
        what = f"groups in column {' and '.join(map(repr, groups))}" if groups else "different samples"
        raise DataError(f"the data have {len(units)} {what} and {len(wanted)} parts need at least one each; give more data.")
    placed = _place([len(unit) for unit in units], sizes)
    order = _ranks(dataset, seed_text)
    found: dict[str, list[int]] = {name: [] for name in (*_PARTS, "spare")}
    for unit, part in zip(units, placed, strict=True):
        found[part].extend(unit)
    made = {name: tuple(sorted(indices, key=order.__getitem__)) for name, indices in found.items()}
    parts = {name: Split(name, dataset, made[name]) for name in _PARTS}
    return Splits(parts["accept"], parts["search"], parts["calib"], parts["audit"] if audit else None, made["spare"])


def part_sizes(count: int, accept_needed: int, search: int, calib: int, audit: float = 0) -> dict[str, int]:
    """How many of `count` samples each part is to get, by the rule above."""
    reserved = min(round(count * audit) if audit < 1 else int(audit), count // 4)
    if audit:
        reserved = max(1, reserved)
    rest = count - reserved
    if rest >= accept_needed + search + calib:
        return {"accept": accept_needed, "search": search, "calib": calib, "audit": reserved}
    least = min(max(_LEAST, rest // 10), max(1, rest // 4))
    if not accept_needed:
        least = max(1, min(least, rest // 2))
    sizes = {"search": min(search, least), "calib": min(calib, least)}
    accept = min(accept_needed, max(0, rest - sum(sizes.values())))
    left = rest - accept - sum(sizes.values())
    search_missing, calib_missing = search - sizes["search"], calib - sizes["calib"]
    if left > 0 and search_missing + calib_missing > 0:
        more = min(search_missing, left * search_missing // (search_missing + calib_missing))
        sizes["search"] += more
        sizes["calib"] += min(calib_missing, left - more)
    return {"accept": accept, **sizes, "audit": reserved}


def _units(data: Dataset, hashes: Sequence[bytes], groups: Sequence[str], seed_text: str) -> list[list[int]]:
    """Indices of each unit, units in the order of their hashes."""
    parent = list(range(len(hashes)))

    def find(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    def join(values: Sequence[Any]) -> None:
        first: dict[Any, int] = {}
        for index, value in enumerate(values):
            parent[find(index)] = find(first.setdefault(value, index))

    join(hashes)
    for group in groups:
        join(_group_values(data, group))
    units: dict[int, list[int]] = {}
    for index in range(len(hashes)):
        units.setdefault(find(index), []).append(index)

    def key(unit: list[int]) -> bytes:
        state = hashlib.sha256(seed_text.encode())
        for content in sorted({hashes[index] for index in unit}):
            state.update(content)
        return state.digest()

    return sorted(units.values(), key=key)


def _place(units: Sequence[int], sizes: Mapping[str, int]) -> list[str]:
    """The part of each unit: the first with room; then what is left where it helps, so that no part stays empty."""
    filled = dict.fromkeys((*_PARTS, "spare"), 0)
    placed: list[str] = []
    for size in units:
        part = next((name for name in _PARTS if filled[name] + size <= sizes[name]), "spare")
        filled[part] += size
        placed.append(part)
    for index in sorted((i for i, part in enumerate(placed) if part == "spare"), key=lambda i: (units[i], i)):
        lacking = {name: sizes[name] - filled[name] for name in _PARTS if filled[name] < sizes[name]}
        # An empty part first, calibration before the others, else where most is missing and the unit brings it nearer.
        empty = [name for name in ("calib", "search", "accept", "audit") if name in lacking and not filled[name]]
        part = empty[0] if empty else max(lacking, key=lambda name: lacking[name], default="spare")
        if part == "spare" or (not empty and units[index] >= 2 * lacking[part]):
            continue
        placed[index] = part
        filled[part] += units[index]
        filled["spare"] -= units[index]
    for name in _PARTS:
        if sizes[name] and name not in placed:
            owners = Counter(placed)
            donor = max(
                (part for part in owners if owners[part] > 1 or part == "spare"),
                key=lambda part: (part == "spare", owners[part], part),
            )
            index = min((i for i, part in enumerate(placed) if part == donor), key=lambda i: (units[i], i))
            placed[index] = name
    return placed


def _ranks(data: Dataset, seed_text: str) -> list[tuple[bytes, bytes]]:
    """What samples are sorted by inside a part: hash of content, and record where contents are equal."""
    seed = seed_text.encode()
    pairs = zip(sample_hashes(data), sample_records(data), strict=True)
    return [(hashlib.sha256(seed + content).digest(), record) for content, record in pairs]


def _ordered(data: Dataset, indices: Sequence[int], seed_text: str) -> tuple[int, ...]:
    return tuple(sorted(indices, key=_ranks(data, seed_text).__getitem__))


def _refuse_overlap(datasets: Mapping[str, Dataset]) -> None:
    owner: dict[bytes, str] = {}
    classes: tuple[str, tuple[str, ...]] | None = None
    for name, data in datasets.items():
        if is_partial(data) and data.has_labels:
            if classes is not None and classes[1] != data.classes:
                raise DataError(
                    f"the files for {classes[0]} and {name} name other classes; give both every class, or labels as numbers."
                )
            classes = (name, data.classes)
        hashes = sample_hashes(data)
        shared = [(index, owner[content]) for index, content in enumerate(hashes) if content in owner]
        if shared:
            index, other = shared[0]
            raise DataError(
                f"{len(shared)} sample(s) of the {name} file, the first at {index}, are in the {other} file too; remove them "
                "from one of the two, for a model must be judged on samples that nothing was chosen by."
            )
        owner.update(dict.fromkeys(hashes, name))


def _refuse_shared_groups(datasets: Mapping[str, Dataset], groups: Sequence[str]) -> None:
    for group in groups:
        owner: dict[str, str] = {}
        for name, data in datasets.items():
            if group not in data.columns:
                raise DataError(
                    f"the {name} file has no column {group!r}, so it cannot be told whose samples it holds; "
                    "give every file that column, or choose another with --group."
                )
            values = set(_group_values(data, group))
            shared = sorted(values & set(owner))
            if shared:
                raise DataError(
                    f"{len(shared)} value(s) of {group!r} in the {name} file, the first {shared[0][:40]!r}, are in the "
                    f"{owner[shared[0]]} file too; keep all samples of one group in one file, for they resemble each other."
                )
            owner.update(dict.fromkeys(values, name))


def _group_values(data: Dataset, group: str) -> list[str]:
    return [str(value) for value in read_column(data, group, range(len(data)))]
