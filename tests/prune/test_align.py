from __future__ import annotations

import numpy as np
import pytest
from edgewright.core.errors import PassError
from edgewright.device_profiles.loader import load
from edgewright.optimizer.prune.align import Widths, alignment, widths_of
from edgewright.optimizer.prune.places import Group, Place
from hypothesis import given
from hypothesis import strategies as st


def group(units, per_unit=1, partitions=None):
    index = np.arange(units * per_unit, dtype=np.int64).reshape(units, per_unit)
    return Group("g", units, "channels", (Place("w", 0, index, "makes"),), (), partitions)


@pytest.mark.parametrize(
    ("units", "align", "expected"),
    [
        (64, 16, (16, 32, 48, 64)),
        (24, 16, (8, 16, 24)),
        (16, 16, (4, 8, 12, 16)),
        (16, 8, (4, 8, 12, 16)),
        (8, 8, (2, 4, 6, 8)),
        (4, 16, (2, 3, 4)),
        (10, 8, (4, 8, 10)),
        (30, 1, tuple(range(3, 31))),
    ],
)
def test_widths_are_multiples_that_leave_small_groups_a_choice(units, align, expected):
    assert widths_of(group(units), align).allowed == expected


def test_a_head_of_many_channels_is_aligned_as_it_is():
    assert widths_of(group(12, per_unit=32), 16).allowed == tuple(range(2, 13))
    assert widths_of(group(12, per_unit=8), 16).allowed == (2, 4, 6, 8, 10, 12)


def test_equal_numbers_stay_in_every_partition():
    partitions = np.repeat(np.arange(3), 16)
    assert all(width % 3 == 0 for width in widths_of(group(48, partitions=partitions), 8).allowed)


@pytest.mark.parametrize(("each", "expected"), [(4, (6, 9, 12)), (2, (6,)), (1, (3,))])
def test_two_stay_in_every_partition_until_the_last_removal(each, expected):
    found = group(3 * each, partitions=np.repeat(np.arange(3), each))
    assert widths_of(found, 1, is_last=False).allowed == expected
    assert widths_of(found, 1).least == 3


def test_a_second_pruning_goes_by_the_first_units():
    # 64 units go by 16; the 32 that are left of them still do, where a group of 32 would go by 8.
    assert widths_of(group(32), 16, original=64).allowed == (16, 32)
    assert widths_of(group(32), 16).allowed == (8, 16, 24, 32)


@given(st.integers(2, 300), st.integers(1, 64), st.integers(1, 4), st.integers(1, 4))
def test_a_tenth_stays_and_all_may(each, align, per_unit, parts):
    units = each * parts
    allowed = widths_of(group(units, per_unit, np.tile(np.arange(parts), each)), align).allowed
    assert allowed[-1] == units
    assert list(allowed) == sorted(set(allowed))
    assert all(width >= min(units, max(2, units / 10)) and width % parts == 0 for width in allowed)


def test_nearest_takes_the_larger_of_two():
    assert Widths((8, 16, 24)).nearest(12) == 16
    assert Widths((8, 16, 24)).nearest(1) == 8


def test_alignment():
    assert alignment("profile", None) == 8
    assert alignment("profile", load("x86-64-vnni")) == 16
    assert alignment("4", load("x86-64-vnni")) == 4
    for wrong in ("0", "x", "1000", "-8", ""):
        with pytest.raises(PassError, match="neither 'profile' nor a number"):
            alignment(wrong, None)
