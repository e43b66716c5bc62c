"""Changes within streams of windows, as a report tells them."""

from __future__ import annotations

from edgewright.core.manifest import HistogramBins
from edgewright.fleet.control.drift_report.seeing import changes
from edgewright.fleet.protocol.window import LATENCY_BINS, Window

BINS = (HistogramBins("y", "confidence", (0.0, 0.5, 1.0), (0, 100, 900, 0)),)


def window(number: int, errors: int = 0, slow: int = 0, unsure: int = 50) -> tuple[int, Window]:
    latency = [0] * LATENCY_BINS
    latency[20], latency[40] = 500 - slow, slow
    counts = ((0, unsure, 500 - unsure, 0),)
    return 3600 * number, Window("m", "0" * 64, 0, 1, 1, 500, 500, 0, (0, 0, errors, 0), tuple(latency), counts)


def test_streams_that_stay_have_no_changes_and_each_change_is_told_where_it_is():
    calm = [window(number) for number in range(20)]
    assert changes(calm, BINS) == []
    for name, change in (("errors", {"errors": 200}), ("latency", {"slow": 400}), ("confidence", {"unsure": 400})):
        found = changes([*calm, *(window(number, **change) for number in range(20, 26))], BINS)
        assert {item.stream for item in found} == {name}
        assert {item.by for item in found} == {"ADWIN", "Page-Hinkley"}
        assert all(item.start >= 20 * 3600 for item in found)
    slow = changes([*calm, *(window(number, slow=500) for number in range(20, 26))], BINS)[0]
    assert 850 < slow.value < 1200  # the fortieth bin's middle, in milliseconds


def test_without_windows_or_confidence_there_is_nothing_to_say():
    assert changes([], BINS) == []
    assert changes([(0, Window("m", "0" * 64, 0, 1, 1, 0, 0, 0, (0,) * 4, (0,) * LATENCY_BINS, ()))], ()) == []
