"""Pictures of drift, read back: what stands where, and that nothing leaves its frame."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest
from edgewright.fleet.control.page.band_picture import Band, Bound, Estimate, Stretch, band_picture, levels_from
from edgewright.fleet.control.page.marks import effect_mark
from edgewright.fleet.control.page.matrix_picture import Row, matrix_picture
from edgewright.fleet.control.page.series_picture import time_axis
from edgewright.fleet.control.page.spread_picture import Spread, spread_picture
from hypothesis import given, settings
from hypothesis import strategies as st

HOUR = 3600
AXIS = time_axis(0, 48 * HOUR)
HOSTILE = '"><script>alert(1)</script>&'


def read(markup):
    # Browsers know the namespace of an inline picture; a parser of XML must be told.
    return ElementTree.fromstring(str(markup).replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1))  # noqa: S314


def of_class(tree, *kinds):
    return [item for item in tree.iter() if item.get("class", "").split() == list(kinds)]


def points(item):
    return [tuple(float(part) for part in pair.split(",")) for pair in item.get("points").split()]


def texts(tree):
    return ["".join(item.itertext()) for item in tree.iter("{http://www.w3.org/2000/svg}text")]


def check_inside(tree):
    """Every place of every element lies within the picture."""
    _, _, width, height = map(float, tree.get("viewBox").split())
    for item in tree.iter():
        for x, y in points(item) if item.get("points") else ():
            assert 0 <= x <= width, (item.get("class"), x)
            assert 0 <= y <= height, (item.get("class"), y)
        if item.get("width") and item.get("x"):
            x, y, wide, tall = (float(item.get(name)) for name in ("x", "y", "width", "height"))
            assert wide >= 0
            assert tall >= 0
            assert -0.01 <= x <= x + wide <= width + 0.01, item.attrib
            assert -0.01 <= y <= y + tall <= height + 0.01, item.attrib


def band(estimates, **given):
    told = Band(estimates=estimates, name="estimated", gap=1.5 * HOUR, **given)
    return read(band_picture(told, AXIS, (0.0, 1.0), str, 760.0, 300.0, "label"))


def test_a_line_lies_in_its_band_and_breaks_where_nothing_was_judged():
    hours = (0, 1, 2, 9, 10, 40)
    tree = band([Estimate(hour * HOUR, 0.5, 0.4, 0.7) for hour in hours])
    lines, bands = of_class(tree, "series", "s0"), of_class(tree, "interval", "s0")
    # The last of a kind belongs to the key; a single window is a dot with a whisker.
    assert [len(points(item)) for item in lines] == [3, 2, 2, 2]
    assert [len(points(item)) for item in bands if item.get("points")] == [6, 4]
    assert len(of_class(tree, "dot", "s0")) == 1
    middle, edge = points(lines[0])[0], points(bands[0])
    assert edge[0][1] < middle[1] < edge[-1][1]
    check_inside(tree)


def test_what_is_withdrawn_is_hatched_and_pale():
    found = [Estimate(hour * HOUR, 0.9, 0.8, 1.0) for hour in range(5)]
    kept = band(found)
    gone = band(found, withdrawn=[Stretch(0, 4 * HOUR)], withdrawn_name="withdrawn")
    assert not of_class(kept, "withdrawn")
    assert not of_class(kept, "off", "series", "s0")
    assert len(of_class(gone, "withdrawn")) == 2  # the stretch, and its sign in the key
    assert of_class(gone, "off", "series", "s0")
    assert "withdrawn" in texts(gone)
    check_inside(gone)


def test_what_was_counted_is_no_line():
    tree = band([], measured=[Estimate(HOUR, 0.7, 0.6, 0.8)], measured_name="counted")
    assert len(of_class(tree, "dot", "s1")) == 2
    assert not of_class(tree, "series", "s0")
    assert texts(tree).count("counted") == 1
    assert "estimated" not in texts(tree)


def test_bounds_are_named_where_they_can_be_told_apart():
    bounds = [Bound(0.05, "minor"), Bound(0.06, "close"), Bound(0.5, "severe"), Bound(2.0, "beyond")]
    tree = band([Estimate(HOUR, 0.1, 0.0, 0.2)], bounds=bounds, alarm=2.0 * HOUR, alarm_name="alert")
    assert len(of_class(tree, "bound", "level")) == 3
    assert {"minor", "severe", "alert"} <= set(texts(tree))
    assert not {"close", "beyond"} & set(texts(tree))
    assert len(of_class(tree, "alarm")) == 2
    check_inside(tree)


@given(
    st.lists(st.tuples(st.floats(-1e9, 1e9), st.floats(-2, 3), st.floats(0, 2), st.floats(0, 2)), max_size=20),
    st.sampled_from([(760.0, 300.0), (360.0, 260.0)]),
)
@settings(deadline=None)
def test_whatever_came_stays_inside_the_picture(values, size):
    estimates = [Estimate(x, value, value - below, value + above) for x, value, below, above in values]
    stretches = [Stretch(item.x, item.x + 10.0) for item in estimates]
    told = Band(
        estimates, "estimated", HOUR, (Bound(0.3, "x" * 12),), estimates, "counted", stretches, "withdrawn", 0.0, "alert"
    )
    check_inside(read(band_picture(told, AXIS, (0.0, 1.0), str, *size, "label")))


@pytest.mark.parametrize(("values", "floor", "least", "levels"), [
    ([], 0.0, 0.24, (0.0, 0.3)), ([0.9], 0.0, 0.24, (0.0, 1.0)), ([0.3], 0.0, 0.24, (0.0, 0.3)),
])  # fmt: skip
def test_an_axis_ends_at_a_round_number_above_all(values, floor, least, levels):
    assert levels_from(values, floor, least) == pytest.approx(levels)


EDGES = (-2.0, -1.0, 0.0, 1.0, 2.0)


def spread(**changed):
    given = {"edges": EDGES, "reference": (1, 2, 4, 4, 2, 1), "now": (0, 0, 1, 4, 4, 5), **changed}
    return read(spread_picture(Spread(**given), 560.0, 270.0, "label"))


def test_values_are_drawn_where_they_lie_and_their_areas_are_shares():
    tree = spread(cut=1.0)
    columns = [item for item in of_class(tree, "now", "s0") if float(item.get("height")) != 12]
    areas = [float(item.get("width")) * float(item.get("height")) for item in columns]
    # Bins without anything have no column; the tail is drawn as wide as a tenth of the edges' span.
    assert [area / areas[0] for area in areas] == pytest.approx([1, 4, 4, 5], rel=0.02)
    assert float(columns[-1].get("width")) == pytest.approx(float(columns[0].get("width")) * 0.4, rel=0.01)
    (cut, _) = of_class(tree, "cut")
    assert points(cut)[0][0] == pytest.approx(float(columns[2].get("x")), abs=0.1)
    assert {"now", "at compile time", "where shares differ most", "-1", "0", "1"} <= set(texts(tree))
    check_inside(tree)


def test_long_tails_and_few_values_are_drawn_by_bin():
    tree = spread(edges=(0.0, 1.0, 2.0, 1e6, 1e9))
    columns = [item for item in of_class(tree, "now", "s0") if float(item.get("height")) != 12]
    assert len({round(float(item.get("width")), 2) for item in columns}) == 1
    heights = [float(item.get("height")) for item in columns]
    assert [height / heights[0] for height in heights] == pytest.approx([1, 4, 4, 5], rel=0.02)
    assert "1,000,000" in texts(tree)


def test_classes_stand_apart_under_their_numbers():
    tree = spread(edges=(0.0, 1.0, 2.0, 3.0), reference=(0, 5, 5, 5, 0), now=(0, 1, 2, 12, 0), is_classes=True)
    assert len(of_class(tree, "before")) == 4  # three classes and the key
    assert {"0", "1", "2", "50 %"} <= set(texts(tree))
    check_inside(tree)


def test_of_a_thousand_classes_those_that_changed_are_shown():
    reference = [0, *[10] * 1000, 0]
    now = list(reference)
    now[778] = 900
    tree = spread(edges=tuple(map(float, range(1001))), reference=reference, now=now, is_classes=True)
    assert "777" in texts(tree)
    assert len(of_class(tree, "before")) == 25


def test_what_is_too_tall_is_cut_and_says_so():
    tree = spread(now=(0, 0, 0, 0, 0, 9))
    assert len(of_class(tree, "cut-off")) == 2
    assert "taller" in texts(tree)
    check_inside(tree)


@given(
    st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=40, unique=True).map(sorted),
    st.data(),
)
@settings(deadline=None)
def test_any_counts_have_a_picture(edges, data):
    counts = st.lists(st.integers(0, 10**9), min_size=len(edges) + 1, max_size=len(edges) + 1)
    shown = Spread(edges, data.draw(counts), data.draw(counts), data.draw(st.booleans()), data.draw(st.sampled_from(edges)))
    check_inside(read(spread_picture(shown, 360.0, 260.0, "label")))


def test_a_square_is_as_large_as_the_effect():
    levels = {at * HOUR + HOUR / 2: at % 4 for at in range(48)}
    tree = read(matrix_picture([Row("input x", levels), Row(HOSTILE, {})], AXIS, HOUR, 760.0, HOSTILE))
    sides = [{float(item.get("height")) for item in of_class(tree, "level", kind)} for kind in ("minor", "moderate", "severe")]
    assert all(len(found) == 1 for found in sides)
    assert sorted(map(max, sides)) == [max(found) for found in sides]
    assert len(of_class(tree, "level", "none")) == 12 + 1
    assert HOSTILE in texts(tree)
    check_inside(tree)


def test_texts_of_pictures_are_text():
    for markup in (
        spread_picture(Spread(EDGES, (1,) * 6, (1,) * 6), 360.0, 260.0, HOSTILE),
        band_picture(
            Band([], HOSTILE, 1.0, [Bound(0.5, HOSTILE)]), AXIS, (0.0, 1.0), lambda value: HOSTILE, 360.0, 260.0, HOSTILE
        ),
        effect_mark(0.2, 0.1, 0.3, (0.1,)),
    ):
        assert not re.search(r"<script|onerror", str(markup))
        read(markup)


def test_a_mark_tells_the_distance_in_words():
    tree = read(effect_mark(0.9, 0.8, 1.0, (0.05, 0.1, 0.2)))
    assert tree.get("aria-label") == "0.90, between 0.80 and 1.00"
    check_inside(tree)
