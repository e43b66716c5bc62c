"""Windows that are decoded and merged together come out as `Window` does it one at a time."""

from __future__ import annotations

import numpy as np
import pytest
from edgewright.core.errors import ProtocolError
from edgewright.fleet.drift.counts import Layout
from edgewright.fleet.protocol.window import ERROR_KINDS, LATENCY_BINS, Window, merge_all
from fleets import MODEL, SHA256
from hypothesis import given, settings
from hypothesis import strategies as st

LENGTHS = (3, 1, 6)
LAYOUT = Layout(MODEL, SHA256, LENGTHS)
counts = st.one_of(st.integers(0, 127), st.integers(0, 2**14), st.integers(0, 2**39))


@st.composite
def windows(draw):
    def row(size):
        return tuple(draw(st.lists(counts, min_size=size, max_size=size)))

    start = draw(st.integers(0, 2**33))
    return Window(
        MODEL, SHA256, start, start + draw(st.integers(0, 10**6)), 1 + draw(counts), *row(3), row(len(ERROR_KINDS)),
        row(LATENCY_BINS), tuple(map(row, LENGTHS)),
    )  # fmt: skip


@settings(deadline=None, max_examples=60)
@given(st.lists(windows(), min_size=1, max_size=6))
def test_windows_are_decoded_as_one_by_one(given_windows):
    rows = LAYOUT.decode([window.encode() for window in given_windows])
    assert [LAYOUT.window(row) for row in rows] == given_windows


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_merging_is_exact_and_asks_for_no_order(data):
    some = data.draw(st.lists(windows(), min_size=1, max_size=6))
    owners = data.draw(st.lists(st.integers(0, 3), min_size=len(some), max_size=len(some)))
    order = data.draw(st.permutations(range(len(some))))
    rows = LAYOUT.decode([window.encode() for window in some])
    merged = LAYOUT.merge(rows, np.array(owners), 4)
    assert (LAYOUT.merge(rows[order], np.array(owners)[order], 4) == merged).all()
    for owner in range(4):
        own = [window for window, of in zip(some, owners, strict=True) if of == owner]
        if own:
            assert LAYOUT.window(merged[owner]) == merge_all(own)
        else:
            assert not merged[owner].any()
    assert LAYOUT.window(LAYOUT.merge_all(rows)) == merge_all(some)
    # Merged in two steps, in any grouping, it is the same.
    cut = data.draw(st.integers(0, len(some)))
    parts = [LAYOUT.merge_all(part) for part in (rows[:cut], rows[cut:]) if len(part)]
    assert (LAYOUT.merge_all(np.stack(parts)) == LAYOUT.merge_all(rows)).all()


def test_more_windows_than_are_decoded_at_once():
    given_windows = [
        Window(MODEL, SHA256, at, at, 1, at, at, 0, (0, 0, 0, at), (at,) * LATENCY_BINS, ((at,) * 3, (1,), (0,) * 6))
        for at in range(700)
    ]
    rows = LAYOUT.decode([window.encode() for window in given_windows])
    assert (rows[:, LAYOUT.requests] == np.arange(700)).all()
    assert LAYOUT.window(rows[699]) == given_windows[699]


def encoded(lengths=LENGTHS, model=MODEL, sha256=SHA256):
    tensors = tuple((1,) * length for length in lengths)
    return Window(model, sha256, 0, 1, 1, 2, 2, 0, (0,) * 4, (0,) * LATENCY_BINS, tensors).encode()


@pytest.mark.parametrize(
    "data",
    [
        encoded(model="other"),
        encoded(sha256="cd" * 32),
        encoded(lengths=(3, 1)),
        encoded(lengths=(3, 1, 7)),
        encoded(lengths=(1, 3, 6)),
        encoded()[:-1],
        encoded() + b"\0",
        encoded()[:-1] + b"\x80",
        encoded()[:-1] + b"\x80" * 9 + b"\x01",
        b"",
        encoded()[:10],
    ],
)
def test_windows_of_another_shape_are_refused(data):
    assert not LAYOUT.fits(data)
    with pytest.raises(ProtocolError):
        LAYOUT.decode([encoded(), data])


def test_a_window_with_a_count_that_no_device_reaches_is_refused():
    def of(count):
        return Window(MODEL, SHA256, 0, 1, 1, 2, 2, 0, (0,) * 4, (0,) * LATENCY_BINS, ((1,) * 3, (count,), (1,) * 6)).encode()

    assert LAYOUT.fits(of(2**40))
    assert not LAYOUT.fits(of(2**40 + 1))
    with pytest.raises(ProtocolError, match="a count above 1,099,511,627,776"):
        LAYOUT.decode([encoded(), of(2**61)])


def test_one_large_count_among_many_rows_can_be_added():
    rows = np.repeat(LAYOUT.decode([encoded()]), 3000, axis=0)
    rows[7, LAYOUT.requests] = 2**50
    assert LAYOUT.merge_all(rows)[LAYOUT.requests] == 2**50 + 2 * 2999
    assert LAYOUT.merge(rows, np.zeros(3000, np.intp), 1)[0, LAYOUT.requests] == 2**50 + 2 * 2999


def test_sums_that_64_bits_cannot_hold_are_refused():
    row = LAYOUT.decode([encoded()])
    row[0, LAYOUT.requests] = 2**62
    with pytest.raises(ProtocolError, match="too large"):
        LAYOUT.merge_all(np.concatenate([row, row]))
    with pytest.raises(ProtocolError, match="too large"):
        LAYOUT.merge(np.concatenate([row, row]), np.array([0, 0]), 1)
