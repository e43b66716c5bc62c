"""Windows: merging is exact and in any order, bytes come back as they went, sizes hold."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from edgewright.core.errors import ProtocolError
from edgewright.fleet.protocol.window import ERROR_KINDS, LATENCY_BINS, Batch, Window, merge_all
from hypothesis import given
from hypothesis import strategies as st

SHA = "ab" * 32
counts = st.integers(0, 2**40)


@st.composite
def windows(draw, bins=(5, 3)):
    start = draw(st.integers(0, 2**35))
    return Window(
        "digits",
        SHA,
        start,
        start + draw(st.integers(0, 10**6)),
        draw(st.integers(1, 1000)),
        *(draw(counts) for _ in range(3)),
        tuple(draw(st.lists(counts, min_size=len(ERROR_KINDS), max_size=len(ERROR_KINDS)))),
        tuple(draw(st.lists(counts, min_size=LATENCY_BINS, max_size=LATENCY_BINS))),
        tuple(tuple(draw(st.lists(counts, min_size=size, max_size=size))) for size in bins),
    )


@given(windows(), windows(), windows())
def test_merging_is_associative_and_commutative(one, two, three):
    assert one.merge(two) == two.merge(one)
    assert one.merge(two).merge(three) == one.merge(two.merge(three)) == merge_all([three, one, two])


@given(windows())
def test_a_window_comes_back_from_its_bytes(window):
    assert Window.decode(window.encode()) == window


@given(st.lists(windows(), min_size=1, max_size=4), st.integers(1, 10**6))
def test_a_batch_comes_back_from_its_bytes(found, first):
    batch = Batch("00000001-ab", tuple((first + 2 * place, window.encode()) for place, window in enumerate(found)))
    assert Batch.decode(batch.encode()) == batch


@given(windows(), st.integers(0, 400), st.integers(1, 255))
def test_a_changed_byte_is_refused_or_another_window_never_a_crash(window, place, change):
    data = bytearray(window.encode())
    data[place % len(data)] ^= change
    try:
        other = Window.decode(bytes(data))
    except ProtocolError:
        return
    assert other != window


@given(st.binary(max_size=300))
def test_noise_is_refused(data):
    for read in (Window.decode, Batch.decode):
        with pytest.raises(ProtocolError):
            read(data)
    with pytest.raises(ProtocolError):
        Batch.decode(b"EWT1" + zlib.compress(data))


def test_windows_of_different_artifacts_stay_apart():
    window = Window("digits", SHA, 0, 1, 1, 0, 0, 0, (0,) * 4, (0,) * LATENCY_BINS, ((1, 2),))
    for other in ("kws", SHA, ((1, 2),)), ("digits", "cd" * 32, ((1, 2),)), ("digits", SHA, ((1, 2, 3),)):
        with pytest.raises(ProtocolError, match="different artifacts"):
            window.merge(Window(other[0], other[1], *(0, 1, 1, 0, 0, 0), (0,) * 4, (0,) * LATENCY_BINS, other[2]))


def test_ten_features_an_output_and_confidence_take_less_than_two_kilobytes():
    draw = np.random.default_rng(0)
    share = draw.dirichlet(np.ones(34), 12)
    tensors = tuple(tuple(int(count) for count in draw.multinomial(20_000, row)) for row in share)
    latency = tuple(int(count) for count in draw.multinomial(20_000, draw.dirichlet(np.ones(LATENCY_BINS))))
    window = Window("digits", SHA, 1_790_000_000, 1_790_000_600, 1, 20_000, 20_000, 0, (0, 0, 3, 0), latency, tensors)
    assert len(Batch("00000001-ab", ((1, window.encode()),)).encode()) < 2000


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"start": 5, "end": 4}, "spans no time"),
        ({"merged": 0}, "spans no time"),
        ({"errors": (0,)}, "other kinds of errors"),
        ({"requests": -1}, "no count"),
        ({"tensors": ((0,) * 5000,)}, "more bins"),
        ({"model": "../x"}, "model"),
    ],
)
def test_a_window_out_of_bounds_is_not_written(change, sentence):
    good = {"start": 0, "end": 1, "merged": 1, "requests": 0, "samples": 0, "unseen": 0, "errors": (0,) * 4}
    window = Window(**{"model": "m", "sha256": SHA, "latency": (0,) * LATENCY_BINS, "tensors": (), **good, **change})
    with pytest.raises(ProtocolError, match=sentence):
        window.encode()


def test_a_batch_that_unpacks_to_too_much_or_is_out_of_order_is_refused():
    with pytest.raises(ProtocolError, match="unpacks to more"):
        Batch.decode(b"EWT1" + zlib.compress(bytes(5 << 20)))
    for batch in (Batch("s", ((2, b"x"), (2, b"y"))), Batch("s", ((3, b"x"), (2, b"y")))):
        with pytest.raises(ProtocolError, match="not in their order"):
            Batch.decode(batch.encode())
    with pytest.raises(ProtocolError, match="no name"):
        Batch("a b", ()).encode()
