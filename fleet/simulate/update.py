"""An update of a simulated device, through the states of `agent.machine`: an effect takes its time, and ends well or not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...core.errors import NetworkError
from ..agent.effects import Patience, jittered
from ..agent.journal import Untold
from ..agent.machine import EFFECTS, Effect, Event, advance, begin
from ..protocol.offered import Offered
from .artifacts import NEW

if TYPE_CHECKING:
    from .device import Device

_DONE = Event("done")
_PATIENCE = Patience()
_MAY_BE_WITHDRAWN = ("Download", "ArtifactVerifyReboot")
_START_S = 3.0  # of a worker, with its test vectors


@dataclass(frozen=True)
class _After:
    """What happens after so many seconds; without an event the effect is done once more."""

    seconds: float
    event: Event | None = _DONE


class Update:
    """The update of `device` to an artifact, under an attempt of its assignment."""

    def __init__(self, device: Device, target: Offered, attempt: int) -> None:
        """Begin, right after what happens now."""
        self.target, self.attempt = target, attempt
        self._device, self._world = device, device.world
        self._way = device.traits.way if target.offer.version == NEW else None
        self._progress, _ = begin()
        self._done = self._tries = 0  # effects of this state; times that one was tried in vain
        self._withdrawn = ""
        self._turn = 0  # rises with every cut, so that what was waited for then does not happen
        self._wait(0.0, None)

    def withdraw(self, why: str) -> None:
        """End it where that is possible."""
        self._withdrawn = why
        if self._progress.state in _MAY_BE_WITHDRAWN:
            self.cut()
            self._happened(Event("aborted", why))

    def cut(self) -> None:
        """What is waited for does not happen any more."""
        self._turn += 1

    def recover(self) -> None:
        """The device came up in the midst of it."""
        self._happened(Event("restarted", f"the agent was restarted in {self._progress.state}"))

    def _wait(self, seconds: float, event: Event | None) -> None:
        turn = self._turn

        def go_on() -> None:
            if turn != self._turn:
                return
            if event is None:
                self._work()
            elif event.kind == "done":
                self._done += 1
                self._work()
            else:
                self._happened(event)

        self._world.timeline.after(seconds, go_on)

    def _work(self) -> None:
        """Do the effects of this state that are left, up to one that takes time."""
        if self._withdrawn and self._progress.state in _MAY_BE_WITHDRAWN:
            self._happened(Event("aborted", self._withdrawn))
            return
        for effect in EFFECTS[self._progress.state][self._done :]:
            outcome = _PERFORM[effect](self)
            if isinstance(outcome, _After):
                self._wait(outcome.seconds, outcome.event)
                return
            if outcome.kind != "done":
                self._happened(outcome)
                return
            self._done += 1
        self._happened(_DONE)

    def _happened(self, event: Event) -> None:
        before = self._progress.state
        self._progress, _ = advance(self._progress, event)
        state = self._progress.state
        self._done = self._tries = 0
        if before == "ArtifactCommit" and state == "ArtifactCommit_Leave":
            self._device.commit(self)
        elif before != "ArtifactFailure" and state == "ArtifactFailure":
            self._device.fail(self, self._progress.why, self._progress.is_lasting)
        if state == "Idle":
            self._device.end()
        else:
            self._wait(0.0, None)

    # Effects

    def _tell(self) -> Event | _After:
        """An end that cannot be told waits; all else need not be heard."""
        progress = self._progress
        try:
            aborts = self._report()
        except NetworkError:
            if progress.result is not None:
                self._device.keep(Untold(self.target.sha256, progress.state, progress.result, progress.why))
            return _DONE
        if aborts and progress.state == "Download":
            return Event("aborted", "the server took the deployment back", is_lasting=True)
        return _DONE

    def _ask(self) -> Event | _After:
        try:
            aborts = self._report()
        except NetworkError as error:
            self._tries += 1
            if self._tries >= _PATIENCE.ask_tries:
                return Event("unreported", str(error))
            return _After(jittered(_PATIENCE, self._world.draw, self._tries), None)
        return Event("aborted", "the server took the deployment back", is_lasting=True) if aborts else _DONE

    def _report(self) -> bool:
        progress = self._progress
        return self._device.report(progress.state, self.target.sha256, progress.result, progress.why)

    def _fetch(self) -> Event | _After:
        if self._device.has(self.target.sha256):
            return _DONE
        return _After(self.target.length / self._device.traits.line)

    def _start(self) -> Event | _After:
        """A worker that passes its test vectors answers requests from then on."""
        self._device.try_out(self.target.offer.version)
        if self._way == "wrong":
            return _After(_START_S, Event("failed", "the test vectors failed: output y differs", is_lasting=True))
        self._device.publish(self.target.sha256, self.target.offer.version)
        return _After(_START_S)

    def _watch(self) -> Event | _After:
        trial_s = self._world.scenario.trial_s
        if self._way == "crashing":
            sooner = self._world.draw.uniform(0.0, trial_s)
            return _After(sooner, Event("failed", "its process ended 1 times unasked", is_lasting=True))
        return _After(trial_s)

    def _start_old(self) -> Event | _After:
        self._device.publish(self._device.current.sha256, self._device.current.version)
        return _DONE

    def _nothing(self) -> Event | _After:
        return _DONE


_PERFORM: dict[Effect, Callable[[Update], Event | _After]] = {
    "tell": Update._tell,
    "ask": Update._ask,
    "fetch": Update._fetch,
    "place": Update._nothing,
    "start": Update._start,
    "watch": Update._watch,
    "switch": Update._nothing,
    "restore": Update._nothing,
    "start-old": Update._start_old,
    "check-old": Update._nothing,
    "clean": Update._nothing,
}
