"""What the server counts, as Prometheus text, format 0.0.4: by cohort (model, version, rollout and its stage), never by device.

A device's name would be a label without bound; what one device does is told by the API. Names follow Prometheus' own practices:
one prefix, base units, `_total` for what only rises. Counters begin at the start of this process; each window of telemetry is
in them once, whatever devices send again. Gauges are read from the database when somebody asks.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, and_, func, select

from ...core.resident import resident_bytes
from ...core.version import VERSION
from ..protocol.window import ERROR_KINDS, LATENCY_BINS, LATENCY_EDGES_MS, Window
from .drift.gauges import gauges
from .polls import Cohort, Polls
from .tables import ARTIFACTS, ASSIGNMENTS, DEVICES, MEMBERS, ROLLOUTS, STATES

KIND = "text/plain; version=0.0.4; charset=utf-8"
_PREFIX = "edgewright"
_POLL_EDGES_S = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5)
# Every fourth edge is enough for a dashboard; the telemetry has all.
_LATENCY_EDGES = range(3, len(LATENCY_EDGES_MS), 4)

Labels = Mapping[str, object]


@dataclass
class _Heard:
    """What windows of one artifact and cohort told."""

    windows: int = 0
    requests: int = 0
    samples: int = 0
    errors: list[int] = field(default_factory=lambda: [0] * len(ERROR_KINDS))
    latency: list[int] = field(default_factory=lambda: [0] * LATENCY_BINS)

    def add(self, window: Window) -> None:
        self.windows += window.merged
        self.requests += window.requests
        self.samples += window.samples
        self.errors = [a + b for a, b in zip(self.errors, window.errors, strict=True)]
        self.latency = [a + b for a, b in zip(self.latency, window.latency, strict=True)]


class Counts:
    """Counters of this process. `polled` is for the event loop's thread alone, the others for any."""

    def __init__(self) -> None:
        self.polls: Counter[int] = Counter()  # by status
        self.poll_bins = [0] * (len(_POLL_EDGES_S) + 1)
        self.poll_seconds = 0.0
        self._lock = threading.Lock()
        self._reports: Counter[tuple[str, str]] = Counter()  # by model and result
        self._heard: dict[tuple[str, str, Cohort], _Heard] = {}  # by model, SHA-256 and cohort

    def polled(self, status: int, seconds: float) -> None:
        """A poll was answered, in so long."""
        self.polls[status] += 1
        self.poll_bins[bisect_left(_POLL_EDGES_S, seconds)] += 1
        self.poll_seconds += seconds

    def reported(self, model: str, result: str) -> None:
        """A device told the end of an update."""
        with self._lock:
            self._reports[model, result] += 1

    def heard(self, cohort: Cohort, windows: Iterable[Window]) -> None:
        """Windows of one device were kept."""
        with self._lock:
            for window in windows:
                self._heard.setdefault((window.model, window.sha256, cohort), _Heard()).add(window)

    def taken(self) -> tuple[dict[tuple[str, str], int], dict[tuple[str, str, Cohort], _Heard]]:
        """Reports by model and result, and what was heard, as they are now."""
        with self._lock:
            return dict(self._reports), {
                key: _Heard(told.windows, told.requests, told.samples, list(told.errors), list(told.latency))
                for key, told in self._heard.items()
            }


def text(connection: Connection, polls: Polls, counts: Counts) -> str:
    """All metrics."""
    versions = {row.sha256: str(row.version) for row in connection.execute(select(ARTIFACTS.c.sha256, ARTIFACTS.c.version))}
    lines = (
        *_of_process(polls, counts),
        *_of_devices(connection, versions),
        *_of_rollouts(connection),
        *_of_telemetry(counts, versions),
        *_of_drift(connection, versions),
    )
    return "\n".join((*lines, ""))


def _of_process(polls: Polls, counts: Counts) -> Iterator[str]:
    yield from _metric("build_info", "gauge", "The version that serves, always 1.", [({"version": VERSION}, 1)])
    yield from _metric(
        "resident_memory_bytes", "gauge", "Resident memory of the process that serves.", [({}, resident_bytes())]
    )
    yield from _metric("poll_period_seconds", "gauge", "How often each device shall poll.", [({}, polls.period_s)])
    yield from _metric(
        "polls_total", "counter", "Polls by the status of their answers.",
        [({"status": status}, count) for status, count in sorted(counts.polls.items())],
    )  # fmt: skip
    buckets = _buckets(counts.poll_bins, [(index, edge) for index, edge in enumerate(_POLL_EDGES_S)])
    yield from _head("poll_seconds", "histogram", "Time from a poll's arrival in the application to its answer.")
    yield from _histogram("poll_seconds", {}, buckets)
    yield _line("poll_seconds_sum", {}, round(counts.poll_seconds, 6))


def _of_devices(connection: Connection, versions: Mapping[str, str]) -> Iterator[str]:
    count = func.count()
    revoked = connection.execute(select(DEVICES.c.revoked_at.isnot(None), count).group_by(DEVICES.c.revoked_at.isnot(None)))
    yield from _metric(
        "devices", "gauge", "Devices that enrolled.",
        sorted((({"revoked": "yes" if is_revoked else "no"}, number) for is_revoked, number in revoked), key=repr),
    )  # fmt: skip
    rows = connection.execute(
        select(STATES.c.model, STATES.c.running, ASSIGNMENTS.c.rollout, MEMBERS.c.stage, count)
        .join(ASSIGNMENTS, and_(ASSIGNMENTS.c.device == STATES.c.device, ASSIGNMENTS.c.model == STATES.c.model), isouter=True)
        .join(MEMBERS, and_(MEMBERS.c.rollout == ASSIGNMENTS.c.rollout, MEMBERS.c.device == STATES.c.device), isouter=True)
        .group_by(STATES.c.model, STATES.c.running, ASSIGNMENTS.c.rollout, MEMBERS.c.stage)
    )
    running: Counter[tuple[tuple[str, str], ...]] = Counter()
    for model, sha256, rollout, stage, number in rows:
        running[tuple(_cohort(model, sha256, Cohort(rollout, stage), versions).items())] += number
    yield from _metric(
        "devices_running", "gauge", "Devices that say that they run a version of a model; version is none where nothing runs.",
        [(dict(labels), number) for labels, number in sorted(running.items())],
    )  # fmt: skip


def _of_rollouts(connection: Connection) -> Iterator[str]:
    told = {
        row.id: {"rollout": str(row.id), "model": row.model, "version": str(row.version)}
        for row in connection.execute(select(ROLLOUTS.c.id, ROLLOUTS.c.model, ROLLOUTS.c.version).order_by(ROLLOUTS.c.id))
    }
    states = connection.execute(select(ROLLOUTS.c.id, ROLLOUTS.c.state, ROLLOUTS.c.stage).order_by(ROLLOUTS.c.id)).all()
    yield from _metric(
        "rollout_info", "gauge", "Rollouts and their states, always 1.",
        [({**told[row.id], "state": row.state}, 1) for row in states],
    )  # fmt: skip
    yield from _metric(
        "rollout_stage", "gauge", "The stage that a rollout is in; the canary is 0.",
        [(told[row.id], row.stage) for row in states],
    )  # fmt: skip
    rows = connection.execute(
        select(MEMBERS.c.rollout, MEMBERS.c.stage, MEMBERS.c.outcome, func.count())
        .group_by(MEMBERS.c.rollout, MEMBERS.c.stage, MEMBERS.c.outcome)
        .order_by(MEMBERS.c.rollout, MEMBERS.c.stage, MEMBERS.c.outcome)
    )
    yield from _metric(
        "rollout_members", "gauge", "Devices of a rollout by stage and outcome; outcome is open where none is known yet.",
        [
            ({**told[rollout], "stage": stage, "outcome": outcome or "open"}, number)
            for rollout, stage, outcome, number in rows if rollout in told
        ],
    )  # fmt: skip


def _of_telemetry(counts: Counts, versions: Mapping[str, str]) -> Iterator[str]:
    reports, heard = counts.taken()
    yield from _metric(
        "reported_results_total", "counter", "Reports of the end of an update, as they came.",
        [({"model": model, "result": result}, count) for (model, result), count in sorted(reports.items())],
    )  # fmt: skip
    cohorts = sorted(
        ((_cohort(model, sha256, cohort, versions), told) for (model, sha256, cohort), told in heard.items()),
        key=lambda item: tuple(item[0].values()),
    )
    for name, what in (
        ("windows", "Windows of telemetry that devices sent."),
        ("requests", "Requests that devices answered, by their telemetry."),
        ("samples", "Samples in these requests."),
    ):
        yield from _metric(f"fleet_{name}_total", "counter", what, [(labels, getattr(told, name)) for labels, told in cohorts])
    yield from _metric(
        "fleet_errors_total", "counter", "Requests that devices did not answer with outputs, by whose fault.",
        [
            ({**labels, "kind": kind}, count)
            for labels, told in cohorts for kind, count in zip(ERROR_KINDS, told.errors, strict=True)
        ],
    )  # fmt: skip
    yield from _head("fleet_request_seconds", "histogram", "Time of a request on a device, without a sum: devices send bins.")
    for labels, told in cohorts:
        edges = [(index, LATENCY_EDGES_MS[index] / 1e3) for index in _LATENCY_EDGES]
        yield from _histogram("fleet_request_seconds", labels, _buckets(told.latency, edges))


def _of_drift(connection: Connection, versions: Mapping[str, str]) -> Iterator[str]:
    found = gauges(connection, versions)
    yield from _metric(
        "drift_distance", "gauge", "Distance of a measure to its reference in the newest window, 0 to 1.",
        [
            ({"model": model, "version": version, "measure": measure}, round(distance, 6))
            for (model, version, measure), distance in found.distances.items()
        ],
    )  # fmt: skip
    yield from _metric(
        "drift_alerts", "gauge", "Alerts of drift that are not closed.",
        [
            ({"model": model, "severity": severity, "scope_kind": kind}, count)
            for (model, severity, kind), count in found.alerts.items()
        ],
    )  # fmt: skip
    for name, what, field_name in (
        ("accuracy_estimate", "Accuracy that confidence makes likely, until labels contradict it, 0 to 1.", "accuracy"),
        ("accuracy_estimate_low", "Lower end of its 95 % interval.", "low"),
        ("accuracy_estimate_high", "Upper end of its 95 % interval.", "high"),
    ):
        yield from _metric(
            name, "gauge", what,
            [
                ({"model": model, "version": version}, round(getattr(estimate, field_name), 6))
                for (model, version), estimate in found.accuracy.items()
            ],
        )  # fmt: skip
    yield from _metric(
        "drift_judged_until_timestamp_seconds", "gauge", "Until when what came was judged, seconds since 1970.",
        [] if found.judged_until is None else [({}, found.judged_until)],
    )  # fmt: skip


def _cohort(model: str, sha256: str | None, cohort: Cohort, versions: Mapping[str, str]) -> dict[str, str]:
    def told(number: int | None) -> str:
        return "" if number is None else str(number)

    version = _version(sha256, versions)
    return {"model": model, "version": version, "rollout": told(cohort.rollout), "stage": told(cohort.stage)}


def _version(sha256: str | None, versions: Mapping[str, str]) -> str:
    return "none" if sha256 is None else versions.get(sha256, "unknown")


def _buckets(bins: Sequence[int], edges: Sequence[tuple[int, float]]) -> list[tuple[str, int]]:
    """Counts below the upper edge of each of these bins, and all."""
    return [*((f"{edge:.6g}", sum(bins[: index + 1])) for index, edge in edges), ("+Inf", sum(bins))]


def _histogram(name: str, labels: Labels, buckets: Sequence[tuple[str, int]]) -> Iterator[str]:
    for edge, count in buckets:
        yield _line(f"{name}_bucket", {**labels, "le": edge}, count)
    yield _line(f"{name}_count", labels, buckets[-1][1])


def _metric(name: str, kind: str, what: str, lines: Iterable[tuple[Labels, float]]) -> Iterator[str]:
    yield from _head(name, kind, what)
    for labels, value in lines:
        yield _line(name, labels, value)


def _head(name: str, kind: str, what: str) -> tuple[str, str]:
    return f"# HELP {_PREFIX}_{name} {what}", f"# TYPE {_PREFIX}_{name} {kind}"


def _line(name: str, labels: Labels, value: float) -> str:
    inside = ",".join(f'{key}="{_escaped(str(item))}"' for key, item in labels.items())
    return f"{_PREFIX}_{name}{'{' + inside + '}' if inside else ''} {value}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
