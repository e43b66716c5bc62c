"""A worker's counts as Prometheus text, format 0.0.4. Per model and version: a device's name would be a label without bound.

Names follow Prometheus' own practices: one prefix, base units, `_total` for what only rises. The counts mean what Triton's
`nv_inference_*` do: `_samples_total` a batch of n as n, `_executions_total` a batch as 1.
"""

from __future__ import annotations

from collections.abc import Iterator

from ...core.resident import resident_bytes
from ..protocol.window import LATENCY_EDGES_MS
from .model import LoadedModel
from .tally import Counted

KIND = "text/plain; version=0.0.4; charset=utf-8"
_PREFIX = "edgewright_inference"
# Every fourth edge is enough for a dashboard; the telemetry has all.
_EDGES = range(3, len(LATENCY_EDGES_MS), 4)


def text(model: LoadedModel, counted: Counted) -> str:
    """All metrics of one model."""
    labels = f'model="{_escaped(model.name)}",version="{model.version}"'
    return "\n".join((*_lines(model, counted, labels), ""))


def _lines(model: LoadedModel, counted: Counted, labels: str) -> Iterator[str]:
    manifest = model.manifest
    yield from _head("info", "gauge", "What is served, always 1.")
    about = f'runtime="{_escaped(manifest.runtime.name)}",precision="{_escaped(manifest.precision)}"'
    yield f'{_PREFIX}_info{{{labels},{about},profile="{_escaped(manifest.target.profile)}"}} 1'
    for name, value, what in (
        ("requests_total", counted.requests, "Requests that were answered with outputs."),
        ("samples_total", counted.samples, "Samples in these requests."),
        ("executions_total", counted.executions, "Runs of the runtime for these requests."),
    ):
        yield from _head(name, "counter", what)
        yield f"{_PREFIX}_{name}{{{labels}}} {value}"
    yield from _head("errors_total", "counter", "Requests that were not answered with outputs, by whose fault.")
    for kind, count in counted.errors.items():
        yield f'{_PREFIX}_errors_total{{{labels},kind="{kind}"}} {count}'
    yield from _head("pending_requests", "gauge", "Requests that wait or run now.")
    yield f"{_PREFIX}_pending_requests{{{labels}}} {counted.pending}"
    for name, seconds, what in (
        ("queue", counted.seconds.queue, "waiting for the runtime"),
        ("input", counted.seconds.input, "reading inputs"),
        ("infer", counted.seconds.infer, "running"),
        ("output", counted.seconds.output, "writing outputs"),
    ):
        yield from _head(f"{name}_seconds_total", "counter", f"Time of requests spent {what}.")
        yield f"{_PREFIX}_{name}_seconds_total{{{labels}}} {seconds:.9g}"
    yield from _head("request_seconds", "histogram", "Time of a request in the worker.")
    for index in _EDGES:
        below = sum(counted.latency[: index + 1])
        yield f'{_PREFIX}_request_seconds_bucket{{{labels},le="{LATENCY_EDGES_MS[index] / 1e3:.6g}"}} {below}'
    yield f'{_PREFIX}_request_seconds_bucket{{{labels},le="+Inf"}} {counted.requests}'
    yield f"{_PREFIX}_request_seconds_sum{{{labels}}} {counted.seconds.request:.9g}"
    yield f"{_PREFIX}_request_seconds_count{{{labels}}} {counted.requests}"
    yield from _head("resident_memory_bytes", "gauge", "Resident memory of the process that serves the model.")
    yield f"{_PREFIX}_resident_memory_bytes{{{labels}}} {resident_bytes()}"


def _head(name: str, kind: str, what: str) -> tuple[str, str]:
    return f"# HELP {_PREFIX}_{name} {what}", f"# TYPE {_PREFIX}_{name} {kind}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
