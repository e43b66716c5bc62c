"""A simulated device: the agent's own tables of states and choices, with seconds in place of the work.

What it shall run is chosen by `agent.choose`, and an update goes through the states of `agent.machine` with their effects, as
`update` has them. Polls are played only while a device has something to ask or to tell: between them it would be answered that
nothing changed. Whoever changes what is assigned wakes it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ...core.errors import NetworkError
from ..agent.choose import Choice, choose
from ..agent.effects import true_end
from ..agent.journal import Failure, Record, SlotRecord, Untold
from ..protocol.assignment import Assignment, Wanted
from ..protocol.poll import place_of, seconds_until
from ..protocol.report import Report, Result, State
from ..protocol.window import Batch
from .artifacts import MODEL, NEW, OFFERS, Kind, held
from .traffic import Habit, window
from .update import Update
from .world import World

_LEAST_S = 1.0  # between two polls
_BOOT_S = 60.0  # without power, and starting
_WINDOWS = 2  # of a version that was committed that are told: later ones change nothing


@dataclass(frozen=True)
class Traits:
    """Of one device: its kind, what applications ask of it, bytes a second of its line, seconds that its clock is wrong by.

    `way` is how the new version fails on it (of scenario.KINDS), or None; one that `is_off` never answers.
    """

    kind: Kind
    habit: Habit
    line: float
    clock_s: float = 0.0
    way: str | None = None
    is_off: bool = False


class Device:
    """One device. `running` is the digest that answers requests now, `current` what starts after a power cut.

    `has_tried`, `has_served` and `has_committed` say how far the new version ever came on it.
    """

    def __init__(self, name: str, traits: Traits, runs: SlotRecord, world: World) -> None:
        self.name, self.traits, self.world = name, traits, world
        self.current, self.running = runs, runs.sha256
        self.has_tried = self.has_served = self.has_committed = False
        self._spare: SlotRecord | None = None
        self._record = Record()
        self._update: Update | None = None
        self._assignment = Assignment()
        self._etag: bytes | None = None
        self._boot, self._sequence = 1, 0
        self._remark = "the assigned artifact runs"
        self._news = (runs.sha256, self._remark)  # that the server has heard
        self._waited = 0  # polls since the last update
        self._is_to_try_again = False
        self._windows: list[tuple[int, bytes]] = []
        self._window = 0  # number of the last one
        self._is_down, self._is_poll_due = traits.is_off, False

    @property
    def boot(self) -> str:
        """Name of this start of its agent."""
        return f"{self._boot:08d}-{self.name[:8]}"

    @property
    def is_busy(self) -> bool:
        """Whether it has something on its way, or to tell."""
        return self._update is not None or self._is_down != self.traits.is_off or self._is_poll_due

    def has(self, sha256: str) -> bool:
        """Whether an artifact that was good lies in one of its slots."""
        return sha256 == self.current.sha256 or (self._spare is not None and self._spare.sha256 == sha256)

    # Polls

    def wake(self) -> None:
        """Let it poll in its next slot."""
        if self._is_poll_due or self._is_down:
            return
        self._is_poll_due = True
        period, timeline = self.world.scenario.poll_s, self.world.timeline
        ahead = seconds_until(place_of(self.name), period, timeline.now()) % period
        timeline.after(ahead if ahead >= _LEAST_S else ahead + period, self._poll)  # it may be the slot that it is in

    def _poll(self) -> None:
        self._is_poll_due = False
        if self._is_down:
            return
        try:
            self._send_windows()
            is_well = True
        except NetworkError:
            is_well = False
        try:
            told, self._etag = self.world.link.assignment(self.name, self._etag)
            self._assignment = told or self._assignment
        except NetworkError:
            is_well = False
        try:
            self._tell_end()
            self._attend()
            self._say()
        except NetworkError:
            is_well = False
        if not is_well or self._update is not None or self._is_to_try_again:
            self.wake()

    def _attend(self) -> None:
        """Begin what is wanted, or end what is not wanted any more."""
        wanted = self._assignment.models.get(MODEL)
        if wanted is None:
            return
        if self._update is not None:
            if wanted.sha256 != self._update.target.sha256:
                self._update.withdraw(f"{str(wanted.sha256)[:12]} is assigned now")
            return
        self._waited += 1
        choice = self._choice(wanted)
        self._remark = choice.why
        failure = None if wanted.sha256 is None else self._record.failure(wanted.sha256)
        is_open = wanted.sha256 != self.current.sha256 and failure is not None and not failure.is_final
        self._is_to_try_again = choice.offered is None and is_open
        if choice.offered is not None:
            self._waited = 0
            self._update = Update(self, choice.offered, wanted.attempt)
            self._cut_perhaps()

    def _choice(self, wanted: Wanted) -> Choice:
        return choose(wanted, OFFERS, self.traits.kind.fit, self._record, self.current, self._waited)

    def _say(self) -> None:
        news = (self.running, self._remark)
        if self._update is None and news != self._news:
            self.report("Idle", why=self._remark)
            self._news = news

    def _tell_end(self) -> None:
        untold = self._record.untold
        if untold is not None:
            result, why = true_end(untold.result, untold.why, untold.sha256, self.running)
            self.report(untold.state, untold.sha256, result, why)
            self._record = replace(self._record, untold=None)

    def report(self, state: State, target: str | None = None, result: Result | None = None, why: str = "") -> bool:
        """Tell the server; whether it takes the deployment back. Raises NetworkError."""
        self._sequence += 1
        now = self.world.timeline.now() + self.traits.clock_s
        given = Report(self.name, self.boot, self._sequence, MODEL, self.running, target, state, result, why, now)
        return self.world.link.report(given).is_aborted

    # An update

    def try_out(self, version: int) -> None:
        """A worker of this version started."""
        self.has_tried |= version == NEW

    def publish(self, sha256: str, version: int) -> None:
        """Requests are answered by it from now on."""
        self.running = sha256
        self.has_served |= version == NEW

    def commit(self, update: Update) -> None:
        """From now on it is what starts after a power cut."""
        self._spare, self.current = self.current, held(update.target)
        kept = tuple(item for item in self._record.failures if item.sha256 != update.target.sha256)
        self._record = replace(self._record, failures=kept)
        if update.target.offer.version == NEW:
            self.has_committed = True
            self._watch_telemetry(update.target.sha256, _WINDOWS)
            if self.traits.way == "late":
                delay = self.world.draw.uniform(60.0, self.world.scenario.window_s)
                self.world.timeline.after(delay, lambda: self._fall_back(update.target.sha256))

    def fail(self, update: Update, why: str, is_lasting: bool) -> None:
        """Remember that an artifact failed."""
        sha256 = update.target.sha256
        known = self._record.failure(sha256)
        times = known.times + 1 if known is not None and known.attempt == update.attempt else 1
        others = tuple(item for item in self._record.failures if item.sha256 != sha256)
        self._record = replace(self._record, failures=(*others, Failure(sha256, update.attempt, times, is_lasting, why)))

    def end(self) -> None:
        """The update is over."""
        self._update = None
        self.wake()

    def keep(self, untold: Untold) -> None:
        """An end that could not be told waits for the next poll."""
        self._record = replace(self._record, untold=untold)

    def _fall_back(self, sha256: str) -> None:
        """The current artifact does not start again: the other slot's serves."""
        if self.current.sha256 != sha256 or self._spare is None or self._update is not None:
            return
        self.current, self._spare = self._spare, None
        self.running = self.current.sha256
        self.wake()

    # Power

    def _cut_perhaps(self) -> None:
        if self.world.draw.random() < self.world.scenario.power_cuts:
            longest = self.world.scenario.trial_s + 120.0
            self.world.timeline.after(self.world.draw.uniform(0.0, longest), self._lose_power)

    def _lose_power(self) -> None:
        self._is_down = True
        if self._update is not None:
            self._update.cut()
        self.world.timeline.after(_BOOT_S, self._start)

    def _start(self) -> None:
        self._is_down = False
        self._boot, self._sequence = self._boot + 1, 0
        self.running = self.current.sha256
        self._news = ("", "")
        if self._update is not None:
            self._update.recover()
        self.wake()

    # Telemetry

    def _watch_telemetry(self, sha256: str, count: int) -> None:
        """Close `count` windows of an artifact, as long as it is what runs."""
        span_s, start = self.world.scenario.window_s, self.world.timeline.now()

        def close() -> None:
            if self.running != sha256 or self._is_down:
                return
            self._window += 1
            begun, ended = (max(0, int(moment + self.traits.clock_s)) for moment in (start, self.world.timeline.now()))
            counted = window(self.world.draw, self.traits.habit, sha256, (begun, ended), self.traits.way)
            self._windows.append((self._window, counted.encode()))
            self.wake()
            if count > 1:
                self._watch_telemetry(sha256, count - 1)

        self.world.timeline.after(span_s, close)

    def _send_windows(self) -> None:
        if self._windows:
            highest = self.world.link.telemetry(self.name, Batch(f"00000001-{self.name[:8]}", tuple(self._windows)))
            self._windows = [item for item in self._windows if item[0] > highest]
