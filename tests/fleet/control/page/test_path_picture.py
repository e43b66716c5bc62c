from __future__ import annotations

import math
from xml.etree import ElementTree

import pytest
from edgewright.fleet.control.page.path_picture import Captions, Path, path_picture

BOUND = math.log(20)
WORDS = Captions("stop: more than 3 % fail", "go on: fewer than 10 % fail", "devices that answered")
SVG = "{http://www.w3.org/2000/svg}"


def drawn(paths, marks=(), expected=10, width=760.0, height=330.0, words=WORDS):
    text = str(path_picture(paths, marks, expected, words, width, height))
    # Browsers know the namespace of an inline picture; a parser of XML must be told.
    return ElementTree.fromstring(text.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1))  # noqa: S314


def of_class(tree, kind):
    return [item for item in tree.iter() if item.get("class") == kind]


def points(item):
    return [tuple(float(part) for part in pair.split(",")) for pair in item.get("points").split()]


def texts(tree):
    return ["".join(item.itertext()) for item in tree.iter(f"{SVG}text")]


def test_what_speaks_against_the_version_moves_both_lines_up():
    # The first answer is bad: the test to stop gains evidence, the test to go on loses some.
    tree = drawn([Path("stop", [1.5], BOUND), Path("go", [-0.7], BOUND)], ["bad"])
    for kind in ("path stop", "path go"):
        (start, end) = points(of_class(tree, kind)[0])
        assert end[1] < start[1], kind
        assert end[0] > start[0]


def test_a_path_ends_at_its_own_bound_and_not_before():
    below, reached = [1.0, BOUND - 0.1], [1.0, BOUND + 0.1, 0.0, 0.0]
    for values, is_there in ((below, False), (reached, True)):
        tree = drawn([Path("stop", values, BOUND)], ["bad"] * len(values))
        line, bound = points(of_class(tree, "path stop")[0]), points(of_class(tree, "bound stop")[0])
        assert (line[-1][1] <= bound[0][1]) is is_there
        # What came after the decision is not drawn.
        assert len(line) == 3


def test_to_go_on_lies_below():
    tree = drawn([Path("stop", [0.0], BOUND), Path("go", [BOUND], BOUND)], ["good"])
    zero = points(of_class(tree, "zero")[0])[0][1]
    assert points(of_class(tree, "bound go")[0])[0][1] > zero > points(of_class(tree, "bound stop")[0])[0][1]
    assert points(of_class(tree, "path go")[0])[-1][1] >= points(of_class(tree, "bound go")[0])[0][1]


def test_no_path_seems_to_reach_the_bound_of_the_other_test():
    # A thousand good answers: hardly any evidence to stop, which is no evidence to go on.
    tree = drawn([Path("stop", [-30.0] * 1000, BOUND), Path("go", [0.0] * 1000, BOUND)], ["good"] * 1000, 1000)
    lowest = max(y for _, y in points(of_class(tree, "path stop")[0]))
    assert lowest < points(of_class(tree, "bound go")[0])[0][1]


@pytest.mark.parametrize("value", [0.0, 1e-300, 700.0, 1e300, math.inf, -math.inf, -700.0])
@pytest.mark.parametrize(("width", "height"), [(760.0, 330.0), (360.0, 300.0)])
def test_values_of_any_size_stay_inside(value, width, height):
    tree = drawn(
        [Path("stop", [value] * 3, BOUND), Path("go", [-value] * 3, BOUND)], ["bad", "good", "silent"], 3, width, height
    )
    for item in tree.iter(f"{SVG}polyline"):
        for x, y in points(item):
            assert 0 <= x <= width
            assert 0 <= y <= height
    for item in tree.iter(f"{SVG}text"):
        assert 0 <= float(item.get("x")) <= width
        assert 0 <= float(item.get("y")) <= height


def test_each_kind_of_answer_has_a_mark_of_its_own_form():
    tree = drawn([Path("stop", [0.0] * 4, BOUND)], ["good", "bad", "silent", "good"], 4)
    found = {kind: of_class(tree, f"answer {kind}") for kind in ("good", "bad", "silent")}
    assert {kind: [item.tag for item in items] for kind, items in found.items()} == {
        "good": [f"{SVG}polyline"] * 2,
        "bad": [f"{SVG}path"],
        "silent": [f"{SVG}circle"],
    }


def test_bounds_are_told_in_words_with_a_sign():
    shown = texts(drawn([Path("stop", [0.1], BOUND), Path("go", [0.2], BOUND)], ["good"]))
    assert "✕ stop: more than 3 % fail" in shown
    assert "✓ go on: fewer than 10 % fail" in shown
    assert shown.count("20×") == 2
    assert {"stop 1.1×", "go on 1.2×"} <= set(shown)


def test_who_cannot_see_it_hears_where_the_evidence_is():
    label = drawn([Path("stop", [0.0, 4.0], BOUND), Path("go", [0.0, -1.0], BOUND)], ["good", "bad"]).get("aria-label")
    assert label == (
        "After 2 devices that answered; stop: more than 3 % fail: reached after 2; go on: fewer than 10 % fail: 0.37× of 20×."
    )


def test_nothing_yet_is_a_picture_too():
    tree = drawn([Path("stop", [], BOUND), Path("go", [], BOUND)])
    assert {"stop 1×", "go on 1×"} <= set(texts(tree))


def test_a_long_path_is_thinned_and_keeps_its_peak():
    values = [0.001 * (place % 7) for place in range(20_000)]
    values[12_345] = 2.9
    tree = drawn([Path("stop", values, BOUND)], ["good"] * len(values), len(values))
    line = points(of_class(tree, "path stop")[0])
    assert len(line) < 2000
    peak = min(y for _, y in line)
    alone = drawn([Path("stop", [2.9], BOUND)], ["good"], 1)
    assert peak == pytest.approx(points(of_class(alone, "path stop")[0])[-1][1])
    assert len(str(path_picture([Path("stop", values, BOUND)], ["good"] * len(values), 1, WORDS, 760, 330))) < 60_000


def test_words_are_only_text():
    hostile = Captions("<script>alert(1)</script>", '"><b>', "&lt;")
    tree = drawn([Path("stop", [0.1], BOUND), Path("go", [0.1], BOUND)], ["good"], words=hostile)
    assert "✕ <script>alert(1)</script>" in texts(tree)
    assert not [item for item in tree.iter() if item.tag.endswith(("script", "}b"))]
