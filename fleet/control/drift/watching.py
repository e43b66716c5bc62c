"""The artifacts that can be watched: those whose bins the signed repository told."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, select

from ....core.manifest import HistogramBins
from ...drift.counts import Layout
from ...protocol.bins import decode_bins
from ..tables import ARTIFACTS


@dataclass(frozen=True)
class Watching:
    """An artifact's bins, and how its windows are laid out."""

    histograms: tuple[HistogramBins, ...]
    layout: Layout


def watching(connection: Connection) -> dict[tuple[str, str], Watching]:
    """By model and digest, of all artifacts that ever were signed with bins."""
    columns = (ARTIFACTS.c.model, ARTIFACTS.c.sha256, ARTIFACTS.c.bins)
    found: dict[tuple[str, str], Watching] = {}
    for model, sha256, data in connection.execute(select(*columns).where(ARTIFACTS.c.bins.is_not(None))):
        if (model, sha256) not in found:
            histograms = decode_bins(data)
            found[model, sha256] = Watching(histograms, Layout(model, sha256, tuple(len(item.counts) for item in histograms)))
    return found
