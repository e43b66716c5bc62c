"""What `edgewright bench` says in a terminal of 100 columns: a block for one result, a table for several."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..runtimes.bench.measurement import Measurement
from ..runtimes.bench.record import HERE, BenchReport, BenchResult, Spread
from .table import WIDTH, table

_LABEL = 14
_SHOWN_OPERATORS = 10
_FIGURES = ("p50 ms", "p90 ms", "p99 ms", "samples/s", "cold ms", "first ms", "memory")


def told(report: BenchReport) -> str:
    """Lines for a person."""
    if len(report.results) == 1:
        return _block([*_rows(report.results[0]), *_notes(report.results)])
    parts = [_table(report.results)]
    for result in report.results:
        rows = list(_beside(result))
        if rows:
            parts.append(_block([("file", _case(result, report.results)), *rows]))
    notes = list(_notes(report.results))
    if notes:
        parts.append(_block(notes))
    if report.spread:
        parts.append(_spread(report.spread))
    return "\n\n".join(parts)


def milliseconds(value: float | None) -> str:
    """A time with three or four digits that count; a dash for None."""
    if value is None:
        return "-"
    return (
        f"{value:.4f}" if value < 0.1 else f"{value:.3f}" if value < 10 else f"{value:.1f}" if value < 1000 else f"{value:.0f}"
    )


def _block(rows: Sequence[tuple[str, str]] | Iterator[tuple[str, str]]) -> str:
    lines = []
    for name, text in rows:
        wrapped = textwrap.wrap(text, WIDTH - _LABEL, break_on_hyphens=False) or [""]
        lines.append(f"{name:<{_LABEL}}{wrapped[0]}".rstrip())
        lines += [" " * _LABEL + line for line in wrapped[1:]]
    return "\n".join(lines)


def _rows(result: BenchResult) -> Iterator[tuple[str, str]]:
    yield "file", f"{result.file} ({_size(result.bytes)})"
    found = result.measurement
    threads = f"{result.threads} thread{'s' if result.threads > 1 else ''}, batch {result.batch}"
    if found is None:
        yield "runtime", f"{result.runtime}, {threads}"
    else:
        yield "runtime", f"{found.runtime} {found.runtime_version}, {threads}"
        yield "cpu", f"{found.cpu} ({' '.join(found.cpu_flags)})"
        yield (
            "latency",
            f"{milliseconds(found.median_ms)} ms (median of {len(found.window_ms)} windows, spread {found.spread:.1%})",
        )
        p50, p90, p99 = map(milliseconds, (found.p50_ms, found.p90_ms, found.p99_ms))
        upper = "" if found.p90_upper_ms is None else f"; p90 at most {milliseconds(found.p90_upper_ms)} (99 % bound)"
        yield "percentiles", f"p50 {p50}, p90 {p90}, p99 {p99} ms{upper}"
        if found.throughput is not None:
            yield "throughput", f"{_rate(found.throughput)} samples/s, one batch after the other"
        yield "runs", f"{found.runs} after {found.warm_up_runs} to warm up"
        yield from _starts(found)
    if result.place != HERE:
        yield "place", result.place
    if result.profile is not None:
        yield "profile", _worth(result)
    yield from _beside(result)


def _starts(found: Measurement) -> Iterator[tuple[str, str]]:
    if found.cold_starts_ms:
        low, high = min(found.cold_starts_ms), max(found.cold_starts_ms)
        span = f"{milliseconds(low)} to {milliseconds(high)} in {len(found.cold_starts_ms)}"
        cold, first = milliseconds(found.cold_start_ms), milliseconds(found.first_ms)
        yield "cold start", f"{cold} ms from process to first answer ({span}), first inference {first} ms"
    if found.rss_growth_bytes is not None:
        whole = "" if found.process_peak_bytes is None else f", {_megabytes(found.process_peak_bytes)} in all"
        yield "memory", f"{_megabytes(found.rss_growth_bytes)} more in a fresh process{whole}"


def _worth(result: BenchResult) -> str:
    if result.measured_on == "target":
        return f"{result.profile}: this is its CPU, so the latency counts as the target's"
    if result.measured_on == "emulated":
        return f"{result.profile}: its kernels ran under emulation, of which no latency is taken"
    return f"{result.profile}: this is not its CPU, so the latency says nothing of it"


def _beside(result: BenchResult) -> Iterator[tuple[str, str]]:
    """What is told beside latency, start and memory."""
    for name, figure in (result.accuracy or {}).items():
        bounds = "" if figure.low is None or figure.high is None else f" ({figure.low:.4f} to {figure.high:.4f}, 95 %)"
        whose = "kernels of this CPU" if figure.measured_on is None else f"measured on {figure.measured_on}"
        yield name, f"{figure.value:.4f}{bounds} on {figure.n} samples, {whose}"
    if result.cost is not None:
        yield "cost", _cost(result.cost)
    if (ratio := result.against) is not None:
        yield "ratio", f"{ratio['ratio']:.3f} of {ratio['file']} (95 % bounds {ratio['low']:.3f} and {ratio['high']:.3f})"
    if result.operators is not None:
        yield from _operators(result.operators)
    if result.rules is not None:
        yield from _rules(result.rules)


def _notes(results: Sequence[BenchResult]) -> Iterator[tuple[str, str]]:
    """What makes figures worth less; of several results it is said which."""
    is_one = len(results) == 1
    slow = [item for item in results if item.measurement is not None and item.measurement.is_shortened]
    disturbed = [
        item
        for item in results
        if item.measurement is not None
        and (item.measurement.is_disturbed or (item.against is not None and item.against["is_disturbed"]))
    ]
    if slow:
        yield (
            "note",
            "a run is so slow that the windows have fewer than fifty" + ("" if is_one else f": {_cases(slow, results)}"),
        )
    if disturbed:
        drift = max((item.measurement.drift for item in disturbed if item.measurement is not None), key=abs)
        which = "" if is_one else f" while these were measured: {_cases(disturbed, results)}"
        yield "note", f"the machine was disturbed: a fixed kernel changed by {drift:+.1%}{which}; measure again"


def _cases(some: Sequence[BenchResult], results: Sequence[BenchResult]) -> str:
    return "; ".join(_case(item, results) for item in some) if len(some) < 5 else f"{len(some)} of the cases"


def _cost(cost: Mapping[str, Any]) -> str:
    energy = "" if cost["kwh_per_million"] is None else f"{cost['kwh_per_million'] * 1e3:.4g} Wh"
    if cost["per_million"] is None:
        return f"{energy} for a million predictions; give --electricity for the price"
    with_energy = f" with {energy}" if energy else ""
    return f"{cost['per_million']:.4g} for a million predictions{with_energy}, in the currency of the prices, always busy"


def _operators(operators: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    rows = sorted(operators["rows"], key=lambda row: -row["us"])
    yield "operators", f"{len(rows)} by {operators['by']}"
    for row in rows[:_SHOWN_OPERATORS]:
        name = row["name"] if len(row["name"]) <= 38 else f"…{row['name'][-37:]}"
        yield "", f"{row['share']:>6.1%} {row['us']:>10.1f} us  {row['kind'][:24]:<24} {name}"
    if len(rows) > _SHOWN_OPERATORS:
        rest = rows[_SHOWN_OPERATORS:]
        yield "", f"{sum(row['share'] for row in rest):>6.1%} {sum(row['us'] for row in rest):>10.1f} us  {len(rest)} more"


def _rules(rules: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "rules", f"{rules['name']}: {_rate(rules['score'])} inferences/s" + ("" if rules["is_kept"] else "; not kept")
    for sentence in rules["asks"]:
        yield "  asked", sentence
    for sentence in rules["did"]:
        yield "  done", sentence
    yield "", "measured on this machine by our own harness: no result of MLCommons"


def _table(results: Sequence[BenchResult]) -> str:
    rows = [_cells(result) for result in results]
    runtimes = len({result.runtime for result in results}) > 1
    head = ["file", *(("runtime",) if runtimes else ()), "thr", "bat", *_FIGURES]
    cells = [
        [_short(result, results), *((result.runtime,) if runtimes else ()), str(result.threads), str(result.batch), *row]
        for result, row in zip(results, rows, strict=True)
    ]
    empty = {index for index, column in enumerate(zip(*cells, strict=True)) if set(column) == {"-"}}
    kept = [[cell for index, cell in enumerate(row) if index not in empty] for row in (head, *cells)]
    text = 1 + runtimes
    room = WIDTH - sum(2 + max(map(len, column)) for column in list(zip(*kept, strict=True))[1:])
    for row in kept[1:]:
        row[0] = row[0] if len(row[0]) <= room else f"…{row[0][-(room - 1) :]}"
    return table(kept[0], kept[1:], range(text, len(head)))


def _cells(result: BenchResult) -> list[str]:
    found = result.measurement
    if found is None:
        return ["-"] * len(_FIGURES)
    times = [milliseconds(value) for value in (found.p50_ms, found.p90_ms, found.p99_ms)]
    grown = "-" if found.rss_growth_bytes is None else _megabytes(found.rss_growth_bytes)
    rate = "-" if found.throughput is None else _rate(found.throughput)
    return [*times, rate, milliseconds(found.cold_start_ms), milliseconds(found.first_ms), grown]


def _short(result: BenchResult, results: Sequence[BenchResult]) -> str:
    """The file's name alone where it tells the files apart, and the place where there are several."""
    name = result.file.rsplit("/", maxsplit=1)[-1]
    alike = {item.file for item in results if item.file.rsplit("/", maxsplit=1)[-1] == name}
    shown = name if len(alike) == 1 else result.file
    return shown if len({item.place for item in results}) == 1 else f"{shown} {result.place}"


def _case(result: BenchResult, results: Sequence[BenchResult]) -> str:
    return f"{_short(result, results)}, {result.threads} thread{'s' if result.threads > 1 else ''}, batch {result.batch}"


def _spread(spread: Sequence[Spread]) -> str:
    rows = [
        [
            item.name,
            str(item.threads),
            str(item.batch),
            item.figure,
            str(item.n),
            *(f"{v:.4g}" for v in (item.low, item.middle, item.high)),
        ]
        for item in spread
    ]
    return table(["spread of", "thr", "bat", "figure", "n", "least", "median", "most"], rows, (1, 2, 4, 5, 6, 7))


def _rate(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _megabytes(value: int) -> str:
    return f"{value / 1e6:.1f} MB"


def _size(value: int) -> str:
    return f"{value / 1e6:.2f} MB" if value >= 1e6 else f"{value / 1e3:.1f} kB" if value >= 1e3 else f"{value} bytes"
