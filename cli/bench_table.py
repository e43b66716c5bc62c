"""What `edgewright bench` says in a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from ..runtimes.bench.record import BenchReport, BenchResult

_WIDTH = 14


def told(report: BenchReport) -> str:
    """Lines for a person: a block a result."""
    return "\n\n".join("\n".join(f"{name:<{_WIDTH}}{value}" for name, value in _rows(result)) for result in report.results)


def _rows(result: BenchResult) -> Iterator[tuple[str, str]]:
    yield "file", result.file
    found = result.measurement
    if found is None:
        return
    upper = "" if found.p90_upper_ms is None else f", p90 at most {found.p90_upper_ms:.3f} (99 % bound)"
    yield "runtime", f"{found.runtime} {found.runtime_version}, {found.threads} thread{'s' if found.threads > 1 else ''}"
    yield "cpu", f"{found.cpu} ({' '.join(found.cpu_flags)})"
    yield "latency", f"{found.median_ms:.3f} ms (median of {len(found.window_ms)} windows, spread {found.spread:.1%})"
    yield "percentiles", f"p50 {found.p50_ms:.3f}, p90 {found.p90_ms:.3f}, p99 {found.p99_ms:.3f} ms{upper}"
    yield "runs", f"{found.runs} after {found.warm_up_runs} to warm up"
    if found.rss_growth_bytes is not None:
        yield "memory", f"{found.rss_growth_bytes / 1e6:.1f} MB more in a fresh process"
    if (ratio := result.against) is not None:
        yield "ratio", f"{ratio['ratio']:.3f} of {ratio['file']} (95 % bounds {ratio['low']:.3f} and {ratio['high']:.3f})"
    if found.is_shortened:
        yield "note", "a run is so slow that the windows have fewer than fifty"
    if found.is_disturbed or (ratio is not None and ratio["is_disturbed"]):
        yield "note", f"the machine was disturbed: a fixed kernel changed by {found.drift:+.1%}; measure again"
