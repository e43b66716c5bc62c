"""The file of an artifact's bins: its bytes give the same histograms again, and nothing else is taken for one."""

from __future__ import annotations

import json

import pytest
from edgewright.core.canonical import dumps
from edgewright.core.errors import ProtocolError
from edgewright.core.manifest import HistogramBins
from edgewright.fleet.protocol.bins import decode_bins, encode_bins
from hypothesis import given
from hypothesis import strategies as st

EDGES = st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=10, unique=True).map(sorted)
WHAT = [
    ("input", "values", False), ("input", "column 0", False), ("input", "channel-mean 2", False), ("input", "std", False),
    ("input", "missing", False), ("input", "missing 12", False), ("output", "column 9", False), ("prediction", "values", False),
    ("confidence", "values", True), ("confidence", "class 31", True), ("confidence", "values", False),
]  # fmt: skip
HISTOGRAMS = st.lists(
    st.builds(
        lambda tensor, what, edges, count: HistogramBins(
            tensor,
            what[0],
            tuple(edges),
            (count,) * (len(edges) + 1),
            what[1],
            (count // 2,) * (len(edges) + 1) if what[2] else None,
        ),
        st.text(max_size=8),
        st.sampled_from(WHAT),
        EDGES,
        st.integers(0, 2**40),
    ),
    max_size=4,
).map(tuple)
ONE = encode_bins([HistogramBins("y", "confidence", (0.5, 1.0), (0, 4, 0))])


@given(HISTOGRAMS)
def test_histograms_come_back(histograms: tuple[HistogramBins, ...]) -> None:
    assert decode_bins(encode_bins(histograms)) == histograms


def test_the_form_from_before_statistics_stays_what_it_was() -> None:
    old = b'{"bins_version":1,"histograms":[{"counts":[0,4,0],"edges":[0.5,1.0],"kind":"confidence","tensor":"y"}]}'
    (found,) = decode_bins(old)
    assert (found.statistic, found.correct, encode_bins([found])) == ("values", None, old)
    with pytest.raises(ProtocolError, match="other than this version writes"):
        decode_bins(old.replace(b'"tensor"', b'"statistic":"values","tensor"'))


@given(st.binary(max_size=200))
def test_what_is_no_file_of_bins_is_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError, match=r"\.$"):
        decode_bins(data)


@pytest.mark.parametrize(
    "change", [{"bins_version": 2}, {"more": 1}, {"histograms": {}}, {"histograms": [{"tensor": "y"}]}, {"histograms": None}]
)
def test_another_form_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ProtocolError, match=r"\.$"):
        decode_bins(dumps({**json.loads(ONE), **change}))
