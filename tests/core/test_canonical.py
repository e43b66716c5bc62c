"""Canonical JSON and digests."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from edgewright.core.canonical import digest, digest_file, dumps, plain
from edgewright.core.errors import unknown
from hypothesis import given
from hypothesis import strategies as st

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(JSON)
def test_canonical_json_reads_back_and_is_stable(value: object) -> None:
    data = dumps(value)
    assert dumps(json.loads(data)) == data


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_json_cannot_hold_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        dumps([value])


@dataclass(frozen=True)
class _Held:
    numbers: frozenset[int]
    by_name: dict[str, object] = field(default_factory=dict)


def test_equal_sets_are_the_same_json_whatever_their_order() -> None:
    one, other = frozenset([0, 8]), frozenset([8, 0])
    assert list(one) != list(other)
    assert plain(_Held(one, {"a": (1, other)})) == {"numbers": [0, 8], "by_name": {"a": [1, [0, 8]]}}
    assert dumps(plain(_Held(one))) == dumps(plain(_Held(other)))


def test_files_and_bytes_have_one_digest(tmp_path: Path) -> None:
    data = bytes(range(256)) * 9000
    (tmp_path / "a").write_bytes(data)
    assert digest_file(tmp_path / "a") == digest(data)


def test_the_nearest_name_is_offered() -> None:
    assert "did you mean 'latency'" in unknown("objective", "latncy", ["latency", "size"])
    assert "known: latency, size" in unknown("objective", "q", ["size", "latency"])
