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
HISTOGRAMS = st.lists(
    st.builds(
        lambda tensor, kind, edges, count: HistogramBins(tensor, kind, tuple(edges), (count,) * (len(edges) + 1)),
        st.text(max_size=8),
        st.sampled_from(["input", "output", "confidence"]),
        EDGES,
        st.integers(0, 2**40),
    ),
    max_size=4,
).map(tuple)
ONE = encode_bins([HistogramBins("y", "confidence", (0.5, 1.0), (0, 4, 0))])


@given(HISTOGRAMS)
def test_histograms_come_back(histograms: tuple[HistogramBins, ...]) -> None:
    assert decode_bins(encode_bins(histograms)) == histograms


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
