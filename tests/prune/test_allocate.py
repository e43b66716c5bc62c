from __future__ import annotations

import numpy as np
import pytest
from edgewright.core.errors import PassError
from edgewright.optimizer.prune.align import widths_of
from edgewright.optimizer.prune.allocate import Choices, family_of, given_widths, harm, kept_units, reach
from edgewright.optimizer.prune.costs import Counted, Extent, Product
from edgewright.optimizer.prune.places import Group, Place
from hypothesis import given, settings
from hypothesis import strategies as st

ALLOCATIONS = ["uniform", "global", "isomorphic", "latency", "macs"]


def group(name, units, partitions=None):
    return Group(name, units, "channels", (Place(f"{name}.w", 0, np.arange(units)[:, None], "makes"),), (), partitions)


def choices(scores, align=1, comparable=False):
    groups = [group(name, len(values)) for name, values in scores.items()]
    arrays = {name: np.asarray(values, np.float64) for name, values in scores.items()}
    return Choices(groups, {item.name: widths_of(item, align) for item in groups}, arrays, comparable)


def chain(units, positions):
    """The cost of layers one behind the other: each takes positions * channels read * channels made."""
    names = list(units)
    products = []
    for index, name in enumerate(names):
        read = Extent(3) if index == 0 else Extent(0, ((names[index - 1], 1),))
        products.append(Product(positions[index], (read, Extent(0, ((name, 1),)))))
    return Counted(products)


def test_counted_adds_products_and_knows_neighbours():
    cost = chain({"a": 4, "b": 8, "c": 2}, [10, 5, 1])
    widths = {"a": 4, "b": 8, "c": 2}
    assert cost.total(widths) == 10 * 3 * 4 + 5 * 4 * 8 + 8 * 2
    assert cost.of_group("b", widths) == 5 * 4 * 8 + 8 * 2
    assert cost.neighbours("a") == {"a", "b"}
    assert cost.total({**widths, "b": 4}) == cost.total(widths) - 5 * 4 * 4 - 4 * 2


@given(st.integers(0, 1000), st.sampled_from(ALLOCATIONS), st.sampled_from([1, 8]), st.booleans())
@settings(max_examples=25, deadline=None)
def test_a_family_never_grows_and_ends_at_the_least(seed, allocation, align, comparable):
    random = np.random.default_rng(seed)
    units = {name: int(random.integers(2, 70)) for name in "abcd"}
    found = choices({name: random.gamma(1, 1, count) for name, count in units.items()}, align, comparable)
    family = family_of(allocation, found, lambda: chain(units, [40, 20, 10, 5]))
    before = found.full
    assert family(0.0) == before
    for t in np.linspace(0, 1, 23):
        widths = family(float(t))
        assert all(widths[name] in found.allowed[name].allowed and widths[name] <= before[name] for name in units)
        before = widths
    assert family(1.0) == found.least


def test_global_takes_the_units_that_matter_least_wherever_they_are():
    found = choices({"a": [9, 9, 9, 9, 0.1, 0.1, 0.1, 0.1], "b": [5] * 8}, comparable=True)
    widths = family_of("global", found, lambda: chain({"a": 8, "b": 8}, [1, 1]))(0.25)
    assert widths == {"a": 4, "b": 8}


def test_macs_takes_what_saves_most_for_the_harm():
    """Of two layers that matter alike, the one whose units cost ten times as much goes first."""
    found = choices({"dear": [1] * 8, "cheap": [1] * 8}, comparable=True)
    cost = Counted([Product(10, (Extent(0, (("dear", 1),)),)), Product(1, (Extent(0, (("cheap", 1),)),))])
    widths = reach(family_of("macs", found, lambda: cost), cost.total, 0.5 * cost.total(found.full))
    assert widths["cheap"] == 8
    assert widths["dear"] < 5
    assert len(set(family_of("global", found, lambda: cost)(0.5).values())) == 1


def test_isomorphic_takes_the_same_share_of_groups_alike_whatever_the_scale_of_others():
    scores = {"a": np.linspace(1, 2, 20), "b": np.linspace(1, 2, 20)}
    wide = Group("c", 20, "hidden", (Place("c.w", 0, np.arange(20)[:, None], "makes"),), (), None)
    found = choices(scores)
    mixed = Choices(
        (*found.groups, wide),
        {**found.allowed, "c": widths_of(wide, 1)},
        {**found.scores, "c": 1000 * np.linspace(1, 2, 20)},
        is_comparable=True,
    )
    assert set(family_of("isomorphic", mixed, lambda: chain({"a": 20}, [1]))(0.5).values()) == {10}


def test_latency_prunes_where_most_is_saved():
    same = {"a": [1.0] * 32, "b": [1.0] * 32}
    cost = Counted([Product(10.0, (Extent(0, (("a", 1),)),)), Product(1.0, (Extent(0, (("b", 1),)),))])
    widths = family_of("latency", choices(same), lambda: cost)(0.4)
    assert widths["a"] < 12 < widths["b"]


def test_latency_looks_over_a_stair_that_a_single_step_does_not_go_down():
    class Stairs:
        def total(self, widths):
            return sum(self.of_group(name, widths) for name in widths)

        def of_group(self, name, widths):
            # "a" only gets faster with every 16 units less; "b" saves a little with each.
            return 100.0 * -(-widths["a"] // 16) if name == "a" else 1.0 * widths["b"]

        def neighbours(self, name):
            return frozenset({name})

    found = choices({"a": [1.0] * 32, "b": [1.0] * 32}, align=8)
    assert family_of("latency", found, Stairs)(0.2)["a"] == 16


def test_the_last_units_of_a_group_are_never_cheap():
    # Unit by unit all of "a" are worth less than any of "b"; together they are all that "a" does.
    found = choices({"a": [1.0] * 10, "b": [1.2] * 10}, comparable=True)
    widths = family_of("global", found, lambda: chain({"a": 10, "b": 10}, [1, 1]))(0.5)
    assert widths["a"] in (4, 5)


def test_harm_is_what_is_lost_to_first_order():
    np.testing.assert_allclose(harm(np.array([100.0, 99.0])), [0, 1.005], atol=1e-3)
    assert harm(np.array([100.0, 50.0, 1.0]))[2] > 4 * 100
    assert np.isfinite(harm(np.array([5.0, 0.0]))).all()
    np.testing.assert_array_equal(harm(np.zeros(3)), np.zeros(3))


@given(st.integers(0, 1000), st.sampled_from(ALLOCATIONS), st.sampled_from([1, 4]), st.floats(0.1, 0.85))
@settings(max_examples=25, deadline=None)
def test_the_target_is_reached_and_not_overdone(seed, allocation, align, amount):
    random = np.random.default_rng(seed)
    units = {name: int(random.integers(24, 70)) for name in "abcdef"}
    positions = [400, 100, 100, 25, 25, 6]
    found = choices({name: random.gamma(1, 1, count) for name, count in units.items()}, align)
    cost = chain(units, positions)
    whole = cost.total(units)
    widths = reach(family_of(allocation, found, lambda: cost), cost.total, (1 - amount) * whole)
    assert widths is not None
    left = cost.total(widths)
    assert left <= (1 - amount) * whole
    # one step of the group whose step saves most
    step = max(
        left_before - left
        for name in units
        if (up := [width for width in found.allowed[name].allowed if width > widths[name]][:1])
        for left_before in [cost.total({**widths, name: up[0]})]
    )
    assert left >= (1 - amount) * whole - 2 * step


def test_what_cannot_be_reached_is_none():
    found = choices({"a": [1.0] * 10})
    cost = chain({"a": 10}, [1])
    assert reach(family_of("uniform", found, lambda: cost), cost.total, 0.05 * 30) is None


def test_kept_units():
    scores = np.array([5, 1, 4, 2, 3, 9], np.float64)
    assert kept_units(group("a", 6), scores, 3) == (0, 2, 5)
    halves = np.array([0, 0, 0, 1, 1, 1])
    assert kept_units(group("a", 6, halves), scores, 4) == (0, 2, 4, 5)
    assert kept_units(group("a", 6), np.ones(6), 2) == (0, 1)


def test_ratios():
    found = choices({"a": [1.0] * 20, "b": [1.0] * 10})
    layers = {"a": "a", "a.add": "a", "b": "b", "other": "kept"}
    assert given_widths(["a.add:0.3"], found, layers, found.full) == {"a": 14, "b": 10}
    assert given_widths(["a:0.3", "b:0.5"], found, layers, found.full, 0.5) == {"a": 17, "b": 8}
    for wrong, why in (
        (["a"], "write LAYER:SHARE"),
        (["a:1"], "write LAYER:SHARE"),
        (["a:nan"], "write LAYER:SHARE"),
        (["aa:0.3"], "did you mean 'a"),
        (["other:0.3"], "unknown layer 'other'"),
        (["a:0.3", "a.add:0.2"], "can only be pruned together"),
    ):
        with pytest.raises(PassError, match=why):
            given_widths(wrong, found, layers, found.full)
