"""What is done in each state of an update, through the ports: one effect, one event, or the seconds after which to try again.

Every effect can be done twice, because a record that could not be written leaves its state to be done again.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from ...core.clock import Clock
from ...core.errors import (
    AgentError,
    EdgewrightError,
    NetworkError,
    RuntimeFailure,
    StoreError,
    UnfinishedError,
    VerificationError,
)
from ..disk import Disk
from ..protocol.offered import Offered
from ..protocol.report import Result
from ..serve.generation import Generation
from . import slots
from .health import Policy, judge_trial, judge_vectors
from .journal import Journal, SlotRecord, Target, Untold, Update
from .machine import Effect, Event
from .ports import Serving, Source
from .reporter import Reporter
from .slots import Slot

log = logging.getLogger("edgewright.agent")

_DONE = Event("done")


@dataclass(frozen=True)
class Patience:
    """How often things are tried: waits are drawn from 0 to base * 2^tries seconds, at most `longest_s`."""

    fetch_tries: int = 20
    ask_tries: int = 5
    base_s: float = 5.0
    longest_s: float = 3600.0
    look_s: float = 5.0  # between two looks at a trial


@dataclass(frozen=True)
class Tools:
    """What the updates of all models share."""

    disk: Disk
    source: Source
    serving: Serving
    clock: Clock
    reporter: Reporter
    policy: Policy = field(default_factory=Policy)
    patience: Patience = field(default_factory=Patience)
    chance: random.Random = field(default_factory=random.Random)


class Effects:
    """The effects of one model's updates. `untold` is the end of an update that could not be told, until `enter`."""

    def __init__(self, model: str, tools: Tools, journal: Journal) -> None:
        self._model, self._tools, self._journal = model, tools, journal
        self._by_name: dict[Effect, Callable[[Update], Event | float]] = {
            "tell": self._tell,
            "ask": self._ask,
            "fetch": self._fetch,
            "place": self._place,
            "start": self._start,
            "watch": self._watch,
            "switch": self._switch,
            "restore": self._restore,
            "start-old": self._start_old,
            "check-old": self._check_old,
            "clean": self._clean,
        }
        self._fetched = ""
        self._trial: tuple[Generation, float] | None = None
        self.enter()

    def enter(self) -> None:
        """A new state begins."""
        self._tries = 0
        self.untold: Untold | None = None

    def perform(self, effect: Effect, update: Update) -> Event | float:
        """Do it: what happened, or the seconds after which to do it again; raises StoreError when the disk refuses.

        A mistake of this program's own counts as a failure: repeating it would never end.
        """
        try:
            return self._by_name[effect](update)
        except StoreError:
            raise
        except Exception as error:
            log.exception("%s: a mistake of the agent's own in %s", self._model, effect)
            return Event("unreported" if effect == "ask" else "failed", f"{type(error).__name__}: {error}")

    def run(self, held: SlotRecord, slot: Slot) -> None:
        """Let a slot's artifact serve; raises VerificationError for a damaged file, RuntimeFailure when it does not start,
        AgentError when its public socket cannot be opened."""
        serving = self._tools.serving
        generation = self._start_worker(held.sha256, slot)
        try:
            serving.publish(generation)
        except EdgewrightError:
            serving.stop(generation)
            raise

    # Telling

    def _tell(self, update: Update) -> Event | float:
        """Tell where the update is; its end waits in the journal when that fails, for whatever reason."""
        progress = update.progress
        try:
            aborts = self._report(update)
        except Exception as error:
            if not isinstance(error, EdgewrightError):
                log.exception("%s: a mistake of the agent's own in telling", self._model)
            if progress.result is not None:
                self.untold = Untold(update.target.sha256, progress.state, progress.result, progress.why)
            return _DONE
        if aborts and progress.state == "Download":
            return Event("aborted", "the server took the deployment back", is_lasting=True)
        return _DONE

    def _ask(self, update: Update) -> Event | float:
        """Tell what comes next, and hear whether it may."""
        try:
            aborts = self._report(update)
        except EdgewrightError as error:
            return self._again(self._tools.patience.ask_tries) or Event("unreported", str(error))
        return Event("aborted", "the server took the deployment back", is_lasting=True) if aborts else _DONE

    def _report(self, update: Update) -> bool:
        generation = self._tools.serving.running(self._model)
        running, progress = None if generation is None else generation.sha256, update.progress
        result, why = true_end(progress.result, progress.why, update.target.sha256, running)
        answer = self._tools.reporter.tell(self._model, progress.state, running, update.target.sha256, result, why)
        return answer.is_aborted

    def _again(self, tries: int) -> float | None:
        """Seconds until the next try, by full jitter, or None when there were enough."""
        self._tries += 1
        if self._tries >= tries:
            return None
        return jittered(self._tools.patience, self._tools.chance, self._tries)

    # Forward

    def _fetch(self, update: Update) -> Event | float:
        """Download, unless a slot has the artifact already."""
        target, disk = update.target, self._tools.disk
        have = {
            held.sha256: slots.artifact_path(self._model, slot)
            for slot, held in self._journal.record.slots.items()
            if disk.size(slots.artifact_path(self._model, slot)) is not None
        }
        current = slots.current(disk, self._model)
        spare = self._journal.record.slots.get(slots.other(current))
        if target.sha256 in have and spare is not None and spare.is_good and spare.sha256 == target.sha256:
            self._fetched = have[target.sha256]
            return _DONE
        offered = self._offered(target)
        if offered is None:
            # After a restart nothing is known of the repository yet, and metadata expire.
            try:
                self._tools.source.refresh()
            except (NetworkError, VerificationError, StoreError) as error:
                return self._again(self._tools.patience.fetch_tries) or Event("failed", str(error))
            offered = self._offered(target)
        if offered is None:
            return Event("failed", f"{target.name} is not among the signed artifacts any more")
        try:
            self._fetched = self._tools.source.fetch(offered, have)
        except UnfinishedError:
            return 0.0
        except NetworkError as error:
            return self._again(self._tools.patience.fetch_tries) or Event("failed", str(error))
        except (VerificationError, StoreError) as error:
            return Event("failed", str(error))
        return _DONE

    def _offered(self, target: Target) -> Offered | None:
        wanted = (target.sha256, target.name)
        return next((one for one in self._tools.source.offers() if (one.sha256, one.name) == wanted), None)

    def _place(self, update: Update) -> Event | float:
        slot = _slot(update)
        try:
            slots.place(self._tools.disk, self._model, slot, self._fetched)
        except (AgentError, StoreError) as error:
            return Event("failed", str(error))
        return _DONE

    def _start(self, update: Update) -> Event | float:
        """A private worker first; its test vectors decide whether it becomes public."""
        self._stop_trial()
        try:
            generation = self._start_worker(update.target.sha256, _slot(update))
            self._trial = generation, self._tools.clock.monotonic()
            verdict = judge_vectors(self._tools.serving.check(generation))
            if verdict.word == "healthy":
                self._tools.serving.publish(generation)
                return _DONE
        except (AgentError, VerificationError) as error:
            return Event("failed", str(error))
        except RuntimeFailure as error:
            return Event("failed", str(error), is_lasting=True)
        return Event("failed", verdict.why, is_lasting=True)

    def _watch(self, update: Update) -> Event | float:
        """Look at the trial."""
        if self._trial is None:
            return Event("failed", "the worker on trial is not known any more")
        generation, since = self._trial
        elapsed = self._tools.clock.monotonic() - since
        try:
            counts = self._tools.serving.statistics(generation)
        except RuntimeFailure as error:
            return Event("failed", str(error), is_lasting=True)
        verdict = judge_trial(self._tools.policy, counts, elapsed, update.target.promised_p99_ms)
        if verdict.word == "undecided":
            return min(self._tools.patience.look_s, max(0.01, self._tools.policy.trial_s - elapsed))
        if verdict.word == "healthy":
            return Event("done", verdict.why)
        return Event("failed", verdict.why, is_lasting=True)

    def _switch(self, update: Update) -> Event | float:
        try:
            slots.switch(self._tools.disk, self._model, _slot(update))
        except StoreError as error:
            return Event("failed", str(error))
        return _DONE

    # Back

    def _restore(self, update: Update) -> Event | float:
        try:
            slots.switch(self._tools.disk, self._model, update.previous)
        except StoreError as error:
            return self._again(self._tools.patience.ask_tries) or Event("failed", str(error))
        return _DONE

    def _start_old(self, update: Update) -> Event | float:
        """Let serve what served before, if it does not yet, and end the worker on trial."""
        serving, previous = self._tools.serving, update.previous
        running = serving.running(self._model)
        held = None if previous is None else self._journal.record.slots.get(previous)
        try:
            if previous is not None and held is None:
                raise VerificationError(f"the journal knows nothing of slot {previous} of {self._model!r}.")
            if previous is not None and held is not None and (running is None or running.sha256 != held.sha256):
                self.run(held, previous)
        except (AgentError, VerificationError, RuntimeFailure) as error:
            self._stop_trial()  # what is not healthy does not serve, also where nothing else does
            return Event("failed", str(error))
        self._stop_trial()
        if previous is None and running is not None:
            serving.stop(running)
        return _DONE

    def _check_old(self, update: Update) -> Event | float:
        if update.previous is None:
            return _DONE
        running = self._tools.serving.running(self._model)
        if running is None:
            return Event("failed", "nothing runs after the rollback")
        try:
            verdict = judge_vectors(self._tools.serving.check(running))
        except RuntimeFailure as error:
            return Event("failed", str(error))
        return _DONE if verdict.word == "healthy" else Event("failed", verdict.why)

    def _clean(self, update: Update) -> Event | float:
        """Remove what no record names; keep a download that may be gone on with."""
        disk = self._tools.disk
        try:
            for slot in slots.SLOTS:
                if slot not in self._journal.record.slots and slots.current(disk, self._model) != slot:
                    slots.clear(disk, self._model, slot)
            if update.progress.result == "SUCCESSFUL" or update.progress.is_lasting:
                self._tools.source.forget(update.target.sha256)
        except StoreError as error:
            return Event("failed", str(error))
        self._trial, self._fetched = None, ""
        return _DONE

    def _start_worker(self, sha256: str, slot: Slot) -> Generation:
        path = self._tools.disk.full_path(slots.artifact_path(self._model, slot))
        return self._tools.serving.start(self._model, path, sha256)

    def _stop_trial(self) -> None:
        if self._trial is not None:
            self._tools.serving.stop(self._trial[0])
            self._trial = None


def true_end(result: Result | None, why: str, target: str, running: str | None) -> tuple[Result | None, str]:
    """The result to tell and its reason: success is told only while the new version is what runs."""
    if result != "SUCCESSFUL" or running == target:
        return result, why
    return (
        "FAILED_UNABLE_TO_ROLLBACK" if running is None else "FAILED_ROLLBACK_COMPLETE",
        "it was committed, and did not start again",
    )


def jittered(patience: Patience, chance: random.Random, tries: int) -> float:
    """Seconds to wait after so many tries in vain: anything from 0 to twice as much each time, so that no two devices agree."""
    return chance.uniform(0.0, min(patience.longest_s, patience.base_s * 2.0 ** min(tries, 30)))


def _slot(update: Update) -> Slot:
    if update.slot is None:
        raise AgentError("the update has no slot yet; it has to be downloaded first.")
    return update.slot
