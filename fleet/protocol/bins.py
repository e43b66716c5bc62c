"""The file of an artifact's bins, `<version>.bins.json` beside it: what a server needs to read devices' counts by.

It holds the manifest's histograms in their order, which is the order of the tensors in a window of telemetry.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...core.artifact_json import Fields, parse, write
from ...core.errors import ArtifactError, ProtocolError
from ...core.manifest import HistogramBins
from .window import MAX_BINS, MAX_TENSORS

BINS_VERSION = 1


def encode_bins(histograms: Sequence[HistogramBins]) -> bytes:
    """The file's bytes; equal histograms give equal bytes. Raises ProtocolError for more than a file may hold."""
    try:
        data = write({"bins_version": BINS_VERSION, "histograms": [item.to_json() for item in histograms]}, "the bins")
    except ArtifactError as error:
        raise ProtocolError(str(error)) from error
    return data


def decode_bins(data: bytes) -> tuple[HistogramBins, ...]:
    """Inverse of `encode_bins`; raises ProtocolError for anything else."""
    try:
        read = Fields(parse(data, "the bins"), "the bins")
        if read.count("bins_version") != BINS_VERSION:
            raise ProtocolError(f"the bins are of version {read.count('bins_version')}; this program reads {BINS_VERSION}.")
        items = read.items("histograms")
        if len(items) > MAX_TENSORS:
            raise ProtocolError(f"the bins are of {len(items)} tensors; there are at most {MAX_TENSORS}.")
        found = tuple(HistogramBins.from_json(Fields(item, f"the bins, histograms[{at}]")) for at, item in enumerate(items))
        if any(len(item.counts) > MAX_BINS for item in found) or encode_bins(found) != data:
            raise ProtocolError("the bins are more or other than this version writes.")
    except ArtifactError as error:
        raise ProtocolError(str(error)) from error
    return found
