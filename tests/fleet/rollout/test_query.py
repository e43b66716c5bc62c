"""The query language: what it means, that its text is read back to the same, and that it says what is wrong and where."""

from __future__ import annotations

import pytest
from edgewright.core.errors import UsageError
from edgewright.fleet.protocol.attribute import KEYWORDS
from edgewright.fleet.rollout.query import MAX_DEPTH, MAX_LENGTH, And, Compare, Has, In, Not, Or, Query, parse
from hypothesis import given
from hypothesis import strategies as st

DEVICE = {
    "site": "lab",
    "profile": "raspberry-pi-4b",
    "arch": "aarch64",
    "ram_mb": "3792",
    "label": 'two words and a "quote"',
    "group": ("beta", "north"),
    "model.digits": "3",
    "enrolled": "2026-03-01T08:00:00Z",
    "serial": "12345678901234567890",
}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  ",
        'site = "lab"',
        "site == lab",
        "profile = raspberry-pi-4b or arch = x86_64",
        'site = "lab" and (profile = raspberry-pi-4b or arch != x86_64) and ram_mb >= 2000 and not group = alpha',
        "ram_mb = 3792.0",
        "ram_mb < 10000",
        "ram_mb in (1, 03792)",
        "model.digits = 3 and model.digits > 2.5 and model.digits<=3",
        r'label = "two words and a \"quote\""',
        "group = beta and group = north",
        "group in (alpha, north)",
        "site not in (a, b)",
        "has site and not has room",
        "room != kitchen",
        "not room = kitchen",
        "NOT room < 3",
        "enrolled >= 2026-02-15 and enrolled < 2026-03-02",
        "site = lab or site = no and site = never",
    ],
)
def test_what_it_means(text):
    assert parse(text).matches(DEVICE)


@pytest.mark.parametrize(
    "text",
    [
        "site = Lab",
        "room = kitchen",
        "room in (kitchen)",
        "room < 3",
        "room >= 3",
        "has room",
        "ram_mb < 999",
        "ram_mb >= 3793",
        "site > 3",
        "site < 3",
        "group != beta",
        "not group = beta",
        "group = betanorth",
        "(site = lab or site = no) and site = never",
        "serial = 12345678901234567891",
    ],
)
def test_what_it_does_not_mean(text):
    assert not parse(text).matches(DEVICE)


@pytest.mark.parametrize(
    ("text", "place", "expected"),
    [
        ("site", 5, "one of ="),
        ("site = ", 8, "a value"),
        ("site lab", 6, "one of ="),
        ("= lab", 1, "the name of an attribute"),
        ("site = lab room = 2", 12, "'and', 'or' or the end"),
        ("(site = lab", 12, "')'"),
        ("site = lab)", 11, "'and', 'or' or the end"),
        ('site = "lab', 8, "a value"),
        ("site in lab", 9, "'('"),
        ("site in ()", 10, "a value"),
        ("site in (a b)", 12, "')'"),
        ("site not lab", 10, "'in'"),
        ("has and", 5, "the name of an attribute"),
        ("site = and", 8, "a value"),
        ("1site = lab", 1, "the name of an attribute"),
        ("site = lab; drop table devices", 11, "'and', 'or' or the end"),
        ("site = 'lab'", 8, "a value"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(text, place, expected):
    with pytest.raises(UsageError, match=f"at character {place}: ") as found:
        parse(text)
    assert f"{expected}" in str(found.value)
    assert str(found.value).count(". ") == 0


def test_length_and_depth_are_bounded():
    parse("not " * MAX_DEPTH + "has a")
    with pytest.raises(UsageError, match="nests deeper"):
        parse("not " * (MAX_DEPTH + 1) + "has a")
    with pytest.raises(UsageError, match="nests deeper"):
        parse("(" * 900 + "has a" + ")" * 900)
    with pytest.raises(UsageError, match="characters"):
        parse("a = b" + " " * MAX_LENGTH)


def test_the_attributes_that_it_asks_for():
    assert parse("a = 1 and (not b in (2) or has c) and a < 3").names() == {"a", "b", "c"}
    assert parse("").names() == frozenset()


NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_.-]{0,9}", fullmatch=True).filter(lambda name: name.lower() not in KEYWORDS)
VALUES = st.one_of(st.text(max_size=12), st.sampled_from(["and", "Or", "3", "03", "-2.50", "", '"', "\\", "a b"]))
LEAVES = st.one_of(
    st.builds(Has, NAMES),
    st.builds(Compare, NAMES, st.sampled_from(["=", "!=", "<", "<=", ">", ">="]), VALUES),
    st.builds(In, NAMES, st.lists(VALUES, min_size=1, max_size=3).map(tuple)),
)
NODES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.builds(And, st.lists(inner, min_size=2, max_size=3).map(tuple)),
        st.builds(Or, st.lists(inner, min_size=2, max_size=3).map(tuple)),
    ),
    max_leaves=8,
)


@given(NODES)
def test_the_text_of_a_query_is_read_to_the_same_query(node):
    query = Query(node)
    assert parse(str(query)) == query


@given(NODES, st.dictionaries(NAMES, VALUES, max_size=4))
def test_a_query_or_its_opposite_holds(node, attributes):
    assert Query(node).matches(attributes) != Query(Not(node)).matches(attributes)


@given(st.text(max_size=60))
def test_any_text_is_a_query_or_is_refused_in_one_sentence(text):
    try:
        query = parse(text)
    except UsageError:
        with pytest.raises(UsageError, match=r"expected\.\Z"):
            parse(text)
    else:
        assert parse(str(query)) == query
