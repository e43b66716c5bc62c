"""The measurings that a server asks this device for: one at a time, between updates, each told once.

What is durable (`bench/`): the run that is under way, with how often it was begun, so that one which ends the agent is given
up; and an outcome until the server has it. A run that was interrupted is begun again; the server takes one outcome of a run.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from ....core.artifact_json import Fields
from ....core.canonical import dumps
from ....core.clock import Clock
from ....core.errors import ArtifactError, DataError, EdgewrightError, NetworkError, ProtocolError, UnfinishedError
from ....device_profiles.detect import host_cpu
from ....runtimes.bench.measurement import Measurement
from ...disk import Disk, ensure_folder, write_durable
from ...protocol.bench_job import MAX_WHY, BenchJob, End, Outcome, Told
from ...protocol.health import Reading, Watched
from ...protocol.offered import Offered
from ...telemetry.upload import NotTaken
from ..choose import Device, misfit
from ..ports import Around, Source
from .judge import disturbances, refusal, thinned
from .order import Order
from .process import Measuring, Process
from .sensors import Sensors

log = logging.getLogger("edgewright.agent")

_FOLDER = "bench"
_RUN, _OUTCOME = f"{_FOLDER}/run.json", f"{_FOLDER}/outcome.json"
_MOST_TRIES = 3
_LOOK_S = 1.0  # between two looks at a measuring, and at the device
_WAIT_S = 5.0  # for an update to end, and after a network that failed


class Asked(Protocol):
    """The server, as far as measurings go."""

    def bench_waiting(self) -> int | None:
        """Number of the run that waits for this device, as told with the last assignment."""
        ...

    def bench(self, told: Told) -> BenchJob | None:
        """Tell an outcome, if there is one, and hear the next job. Raises NetworkError or ProtocolError."""
        ...


@dataclass
class _Work:
    """A job under way: `ends_at` is by the monotonic clock, `was_updated` says that an update went on while it was measured."""

    job: BenchJob
    ends_at: float
    tries: int = 0
    was_updated: bool = False
    before: Reading | None = None
    during: list[Reading] = field(default_factory=list)
    measuring: Measuring | None = None


class Benches:
    """All measurings of one device; the loop calls `poll` after it asked the server, and `step` when it likes."""

    def __init__(
        self,
        disk: Disk,
        server: Asked,
        source: Source,
        clock: Clock,
        device: Device,
        start: Callable[[str], Measuring] = Process,
        sensors: Callable[[], Sensors] | None = None,
    ) -> None:
        self._disk, self._server, self._source, self._clock, self._device = disk, server, source, clock, device
        self._start, self._sensors_of = start, sensors or (lambda: Sensors(clock))
        self._sensors = self._sensors_of()
        self._work: _Work | None = None
        self._around = Around()

    def poll(self, around: Around) -> None:
        """Hear whether a job waits, or was taken back; tell an outcome that could not be told.

        Raises NetworkError, ProtocolError or StoreError, and then goes on at the next poll.
        """
        waiting, self._around = self._server.bench_waiting(), around
        if self._work is not None and self._work.job.run != waiting:
            log.info("the measuring %d is not wanted any more.", self._work.job.run)
            self._end_work()
        if self._work is None and (waiting is not None or self._disk.size(_OUTCOME) is not None):
            self._exchange()
        if self._work is None:
            self._tidy()

    def step(self, around: Around) -> float | None:
        """Go on with what is under way: seconds until the next step, or None where nothing is."""
        work, self._around = self._work, around
        if work is None:
            return None
        work.was_updated |= around.is_updating and work.measuring is not None
        if self._clock.monotonic() >= work.ends_at:
            return self._finish(work, "failed", f"it was not done within the {work.job.deadline_s:.0f} s that it may take")
        if work.measuring is None:
            return self._begin(work)
        return self._watch(work, work.measuring)

    def stop(self) -> None:
        """End what is under way; it is begun again after a start of the agent."""
        if self._work is not None and self._work.measuring is not None:
            self._work.measuring.stop()
        self._work = None

    # One job

    def _begin(self, work: _Work) -> float | None:
        """Bring the artifact here and start to measure, as soon as nothing else is on its way."""
        if self._around.is_updating:
            return _WAIT_S
        job = work.job
        offered = next((one for one in self._source.offers() if (one.sha256, one.name) == (job.sha256, job.name)), None)
        if offered is None:
            return self._finish(work, "refused", f"{job.name} of {job.sha256[:12]} is not among what is signed")
        why = misfit(offered.offer, self._device)
        if why is not None:
            return self._finish(work, "refused", why)
        try:
            path = self._fetched(work, offered)
        except UnfinishedError:
            return 0.0
        except NetworkError as error:
            log.warning("the measuring %d waits: %s", job.run, error)
            return _WAIT_S
        except EdgewrightError as error:
            return self._finish(work, "failed", str(error))
        self._sensors = self._sensors_of()
        work.before = self._sensors.read()
        why = refusal(work.before, offered.offer.ram_bytes or 2 * offered.length)
        if why:
            return self._finish(work, "refused", why)
        if work.tries >= _MOST_TRIES:
            return self._finish(work, "failed", f"the device ended, or its agent did, {work.tries} times in it")
        work.tries += 1
        self._keep(work)
        order = Order(str(self._disk.full_path(path)), job.sha256, job.threads, job.batch, job.windows)
        try:
            work.measuring = self._start(order.text())
        except EdgewrightError as error:
            return self._finish(work, "failed", str(error))
        log.info("%s is measured, run %d: %d threads, batch %d", job.name, job.run, job.threads, job.batch)
        return _LOOK_S

    def _fetched(self, work: _Work, offered: Offered) -> str:
        """Path of the verified file: a slot's, or a download's."""
        held = self._around.held
        return held[offered.sha256] if offered.sha256 in held else self._source.fetch(offered, held)

    def _watch(self, work: _Work, measuring: Measuring) -> float | None:
        told = measuring.told()
        work.during.append(self._sensors.read(measuring.pid))
        if told is None:
            return _LOOK_S
        measuring.stop()
        work.measuring = None
        error, found = str(told.get("error", "")), _measurement(told)
        if found is not None:
            return self._finish(work, "measured", "", found)
        if work.was_updated and work.tries < _MOST_TRIES:
            # The update may have taken the file, or the memory.
            work.was_updated, work.during = False, []
            return _WAIT_S
        return self._finish(work, "failed", error or "it told nothing that is a measurement")

    def _finish(self, work: _Work, end: End, why: str, found: Measurement | None = None) -> float | None:
        """Keep the outcome, tell it, and hear of the next job; raises what telling it raises, and it is told later."""
        if work.measuring is not None:
            work.measuring.stop()
            work.measuring = None
        before = work.before or self._sensors.read()
        after = self._sensors.read()
        remarks = disturbances(before, work.during, after) if work.during else ()
        if work.was_updated:
            remarks = (*remarks, "an update was on its way")
        health = Watched(before, thinned(work.during), after, remarks)
        outcome = Outcome(
            work.job.run, end, why, host_cpu(), self._sensors.is_emulated(), self._around.serving, health, found
        )  # fmt: skip
        log.info("the measuring %d ended: %s%s", work.job.run, end, f" ({why})" if why else "")
        ensure_folder(self._disk, _FOLDER)
        write_durable(self._disk, _OUTCOME, Told(outcome).encode())
        self._end_work()
        self._exchange()
        return None if self._work is None else 0.0

    def _end_work(self) -> None:
        if self._work is not None and self._work.measuring is not None:
            self._work.measuring.stop()
        self._work = None
        self._tidy()

    # The server

    def _exchange(self) -> None:
        told = self._untold()
        try:
            job = self._server.bench(told)
        except NotTaken as error:
            log.error("the outcome of a measuring is refused, and told without its figures: %s", error)
            self._without_figures(told, str(error))
            raise
        self._disk.remove(_OUTCOME)
        if job is not None:
            known, sha256, tries = self._kept()
            tries = tries if (known, sha256) == (job.run, job.sha256) else 0
            self._tidy(but=job.sha256)
            self._work = _Work(job, self._clock.monotonic() + job.deadline_s, tries)
            self._keep(self._work)

    def _untold(self) -> Told:
        """The outcome that waits on the disk; one that cannot be read any more is forgotten."""
        if self._disk.size(_OUTCOME) is None:
            return Told()
        try:
            return Told.decode(self._disk.read(_OUTCOME))
        except ProtocolError as error:
            log.error("an outcome was damaged: %s", error)
            return Told()

    def _without_figures(self, told: Told, why: str) -> None:
        """In place of an outcome that the server never takes, that there is none; the second time, nothing."""
        outcome = told.outcome
        if outcome is None or outcome.end != "measured":
            self._disk.remove(_OUTCOME)
            return
        less = replace(outcome, end="failed", measurement=None, why=f"the server refuses its figures: {why}"[:MAX_WHY])
        write_durable(self._disk, _OUTCOME, Told(less).encode())

    # The disk

    def _keep(self, work: _Work) -> None:
        ensure_folder(self._disk, _FOLDER)
        write_durable(self._disk, _RUN, dumps({"run": work.job.run, "sha256": work.job.sha256, "tries": work.tries}))

    def _kept(self) -> tuple[int, str, int]:
        """The run that was under way last, of which artifact, and how often it was begun; zeros where none was."""
        if self._disk.size(_RUN) is None:
            return 0, "", 0
        try:
            read = Fields(json.loads(self._disk.read(_RUN)), _RUN)
            return read.count("run"), read.sha256("sha256"), read.count("tries")
        except (ArtifactError, ValueError, RecursionError):
            return 0, "", 0

    def _tidy(self, but: str = "") -> None:
        """Remove the download of a run that is over, and its record; not while an update may be downloading the same."""
        sha256 = self._kept()[1]
        if sha256 and sha256 != but and not self._around.is_updating:
            self._source.forget(sha256)
            self._disk.remove(_RUN)


def _measurement(told: Mapping[str, Any]) -> Measurement | None:
    try:
        return Measurement.from_json(told["measurement"])
    except (KeyError, DataError):
        return None
