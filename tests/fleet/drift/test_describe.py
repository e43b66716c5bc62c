"""Who drifts, in the fewest words."""

from __future__ import annotations

import pytest
from edgewright.core.errors import UsageError
from edgewright.fleet.drift.describe import Described, describe, holds
from edgewright.fleet.drift.scope import FLEET, Scope

DEVICES = [f"d{number}" for number in range(20)]
ATTRIBUTES = {
    name: {
        "batch": "b2" if number < 4 else "b1",
        "site": f"s{number % 5}",
        "group": ("all", "beta") if number in (7, 8) else ("all",),
        "host": "lone" if number in (10, 11) else "many",
        "model.digits": "3" if number in (12, 13) else "2",
    }
    for number, name in enumerate(DEVICES)
}


def scopes(drifting, telling=DEVICES, is_world=False, attributes=ATTRIBUTES):
    found = describe(drifting, telling, attributes, is_world=is_world)
    return [] if found is None else list(map(str, found.scopes))


def test_one_device_is_a_device():
    assert scopes(["d9"]) == scopes(["d9"], is_world=True) == ["device d9"]


def test_devices_of_one_attribute_are_that_attribute():
    assert scopes(DEVICES[:4]) == scopes(DEVICES[:4], is_world=True) == ["attribute batch = b2"]
    assert scopes(["d1", "d6", "d11", "d16"]) == ["attribute site = s1"]
    assert scopes(["d7", "d8"]) == ["attribute group = beta"]


def test_an_attribute_need_not_fit_all_of_them():
    many = [f"d{number}" for number in range(200)]
    attributes = {name: {"batch": "b2" if number < 20 else "b1"} for number, name in enumerate(many)}
    found = describe([*many[:18], many[60]], many, attributes, is_world=False)
    assert found == Described((Scope("attribute", "batch", "b2"),), 18 / 20, 18 / 19)
    assert scopes([*many[:15], many[60]], many, attributes=attributes) == [f"device d{number}" for number in range(5)]


def test_more_than_half_of_the_devices_are_the_world():
    assert scopes(DEVICES[:11], is_world=True) == ["fleet"]
    assert scopes([], is_world=True) == ["fleet"]
    assert scopes([]) == []
    assert scopes(["d0"], ["d0"], is_world=True) == ["fleet"]


def test_devices_that_send_little_are_described_however_many_they_are():
    # Together they do not drift, since the others send so much more.
    few = {name: {"batch": "b2" if number < 12 else "b1", "arch": "x"} for number, name in enumerate(DEVICES)}
    assert scopes(DEVICES[:12], attributes=few) == ["attribute batch = b2"]
    assert scopes(DEVICES[:12], DEVICES[:12], attributes=few) == ["attribute batch = b2"]  # not what all of the fleet hold
    assert scopes(DEVICES[:11]) == [f"device {name}" for name in DEVICES[:5]]
    assert scopes(["d0"], ["d0"]) == ["device d0"]


def test_devices_with_nothing_in_common_are_named_one_by_one_and_not_without_end():
    assert scopes(["d1", "d7", "d13"]) == ["device d1", "device d7", "device d13"]
    assert scopes(["d1", "d2", "d7", "d8", "d13", "d14", "d19"]) == [
        f"device {name}" for name in ("d1", "d2", "d7", "d8", "d13")
    ]
    assert scopes(["d1", "d7", "d13"], is_world=True) == ["fleet"]


def test_attributes_that_say_nothing_describe_nothing():
    assert scopes(["d10", "d11"]) == ["device d10", "device d11"]
    assert scopes(["d12", "d13"]) == ["device d12", "device d13"]


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        (FLEET, True),
        (Scope("device", "d7"), True),
        (Scope("device", "d8"), False),
        (Scope("attribute", "group", "beta"), True),
        (Scope("attribute", "batch", "b2"), False),
        (Scope("attribute", "color", "red"), False),
    ],
)
def test_whether_a_device_is_in_a_scope(scope, expected):
    assert holds(scope, "d7", ATTRIBUTES["d7"]) is expected


@pytest.mark.parametrize(
    "scope", [FLEET, Scope("device", "a b = c"), Scope("attribute", "site", "x = y"), Scope("attribute", "a", "")]
)
def test_a_scope_is_read_as_it_is_written(scope):
    assert Scope.parse(str(scope)) == scope


@pytest.mark.parametrize("text", ["", "fleets", "device ", "attribute x", "attribute  = y", "cohort x"])
def test_what_is_no_scope_is_refused(text):
    with pytest.raises(UsageError, match="no scope"):
        Scope.parse(text)


def test_an_attribute_is_not_named_for_holders_of_whom_hardly_any_can_tell():
    few = {name: {"batch": "b2" if number == 19 else "b1"} for number, name in enumerate(DEVICES)}
    assert scopes(DEVICES[:2], DEVICES[:2], attributes=few) == [f"device {name}" for name in DEVICES[:2]]
