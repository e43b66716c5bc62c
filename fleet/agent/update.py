"""One model's updates: does what the state machine says, step by step, each transition recorded before the next thing is done.

A step never waits: where time must pass it says how long, so that one loop serves several models.
"""

from __future__ import annotations

import logging
from dataclasses import replace

from ...core.errors import RuntimeFailure, StoreError, VerificationError
from ..protocol.offered import Offered
from . import slots
from .effects import Effects, Tools, true_end
from .journal import Failure, Journal, Record, SlotRecord, Target, Untold, Update
from .machine import EFFECTS, Event, Progress, advance, begin
from .slots import Slot

log = logging.getLogger("edgewright.agent")

_MAY_SERVE = ("Download", "ArtifactCommit_Leave", "ArtifactFailure", "Cleanup")  # elsewhere the update says who serves
_ROLLBACK = ("ArtifactRollback", "ArtifactRollbackReboot", "ArtifactVerifyRollbackReboot")
_BEFORE_COMMIT = ("Download", "ArtifactInstall", "ArtifactReboot", "ArtifactVerifyReboot")
_MAY_BE_WITHDRAWN = ("Download", "ArtifactVerifyReboot")


class ModelUpdates:
    """The updates of one model on this device, one after another."""

    def __init__(self, model: str, tools: Tools) -> None:
        """Open the model's journal; raises StoreError or ProtocolError."""
        self.model, self._tools = model, tools
        self._journal = Journal(tools.disk, model)
        if self._journal.was_damaged:
            log.info("%s: a record of the journal was torn, and the one before it is used.", model)
        self._effects = Effects(model, tools, self._journal)
        self._done = 0  # effects of this state
        self._since = tools.clock.monotonic()
        self._withdrawn = ""
        self._is_settled = self.record.update is None  # else it was interrupted, and has to be told so first

    @property
    def record(self) -> Record:
        """What the journal has."""
        return self._journal.record

    @property
    def running(self) -> str | None:
        """SHA-256 of the artifact that answers requests now."""
        generation = self._tools.serving.running(self.model)
        return None if generation is None else generation.sha256

    @property
    def current(self) -> SlotRecord | None:
        """What the slot holds that starts after a power cut."""
        slot = slots.current(self._tools.disk, self.model)
        return None if slot is None else self.record.slots.get(slot)

    def held(self) -> dict[str, str]:
        """Paths of the artifacts in slots that were committed once, by SHA-256."""
        slots_held = self.record.slots.items()
        return {held.sha256: slots.artifact_path(self.model, slot) for slot, held in slots_held if held.is_good}

    def recover(self) -> None:
        """After a start of the agent: settle what was interrupted, and let the current artifact run.

        Raises RuntimeFailure when it does not start, StoreError when the disk refuses.
        """
        if self.record.update is not None and not self._is_settled:
            try:
                self._happened(Event("restarted", f"the agent was restarted in {self.record.update.progress.state}"))
            except StoreError:
                self.serve()
                raise
        self._is_settled = True
        while self.record.update is not None and self.record.update.progress.state in _ROLLBACK:
            if self.step():
                return  # the loop tries again
        self.serve()

    def serve(self) -> None:
        """Let the current slot's artifact run if nothing does; the other good slot's where it is damaged or does not start.

        Raises RuntimeFailure when neither starts, StoreError when the disk refuses.
        """
        update, slot = self.record.update, slots.current(self._tools.disk, self.model)
        if slot is None or self._tools.serving.running(self.model) is not None:
            return
        held = self.record.slots.get(slot)
        if update is not None and update.progress.state not in _MAY_SERVE:
            is_safe = not self._is_settled and held is not None and held.is_good
            if not is_safe:
                return
        try:
            if held is None:
                raise VerificationError(f"the journal knows nothing of slot {slot} of {self.model!r}, so it is not served.")
            self._effects.run(held, slot)
        except VerificationError as error:
            log.error("%s: %s", self.model, error)
            self._fall_back(slot)
            self._give_up(slot)
        except RuntimeFailure as error:
            log.error("%s: %s", self.model, error)
            if not self._fall_back(slot):
                raise

    def begin(self, offered: Offered, attempt: int = 0, deadline_s: float | None = None) -> None:
        """Begin an update; none must be on its way. Raises StoreError when the disk refuses."""
        offer = offered.offer
        promised = offer.latency.p99_ms if offer.latency is not None and offer.latency.measured_on == "target" else None
        limit = None if deadline_s is None else float(deadline_s)
        target = Target(offered.sha256, offered.name, offer.version, attempt, limit, promised)
        progress, _ = begin()
        self._journal.write(replace(self.record, update=Update(target, None, None, progress)))
        log.info("%s: %s is wanted", self.model, offered.name)
        self._withdrawn = ""
        self._enter()

    def refuse(self, offered: Offered, attempt: int, why: str) -> None:
        """Remember that the device cannot run what is assigned, to be told once; raises StoreError when the disk refuses."""
        log.error("%s: %s is refused: %s", self.model, offered.name, why)
        failure = Failure(offered.sha256, attempt, 1, True, why)
        untold = Untold(offered.sha256, "Idle", "REJECTED", why)
        self._journal.write(replace(_with_failure(self.record, failure), untold=untold))

    def withdraw(self, why: str) -> None:
        """End the update that is on its way, in the states where that is possible, because something else is wanted.

        Nothing, when it is wanted again, lets it go on.
        """
        self._withdrawn = why

    def tell_end(self) -> None:
        """Tell the end of an update that could not be told before; raises NetworkError or ProtocolError."""
        untold = self.record.untold
        if untold is not None:
            result, why = true_end(untold.result, untold.why, untold.sha256, self.running)
            self._tools.reporter.tell(self.model, untold.state, self.running, untold.sha256, result, why)
            self._journal.write(replace(self.record, untold=None))

    def step(self) -> float | None:
        """Go on with the update: seconds until the next step is due, or None when no update is on its way."""
        if not self._is_settled:
            self.recover()
        update = self.record.update
        if update is None:
            return None
        event = self._end_from_outside(update)
        if event is None:
            event = Event("done")
            for effect in EFFECTS[update.progress.state][self._done :]:
                outcome = self._effects.perform(effect, update)
                if isinstance(outcome, float):
                    return outcome
                event = outcome
                if event.kind != "done":
                    break
                self._done += 1
        self._happened(event)
        return 0.0

    # Between states

    def _enter(self) -> None:
        self._done, self._since = 0, self._tools.clock.monotonic()
        self._effects.enter()

    def _end_from_outside(self, update: Update) -> Event | None:
        if update.progress.state not in _BEFORE_COMMIT:
            return None
        deadline = update.target.deadline_s
        if deadline is not None and self._spent(update) > deadline:
            return Event("failed", f"it took longer than the {deadline:.0f} s that it may", is_lasting=True)
        if self._withdrawn and update.progress.state in _MAY_BE_WITHDRAWN:
            return Event("aborted", self._withdrawn)
        return None

    def _spent(self, update: Update) -> float:
        return update.spent_s + self._tools.clock.monotonic() - self._since

    def _happened(self, event: Event) -> None:
        """Record the transition, with all that is settled by it, in one durable write."""
        update = self.record.update
        if update is None:
            return
        progress, _ = advance(update.progress, event)
        before, state = update.progress.state, progress.state
        record = replace(self.record, update=replace(update, progress=progress, spent_s=self._spent(update)))
        if before == "Download" and state == "ArtifactInstall":
            record = self._with_slot(record, progress)
        elif before == "ArtifactCommit" and state == "ArtifactCommit_Leave":
            record = self._with_good(record)
        elif before != "ArtifactFailure" and state == "ArtifactFailure":
            record = self._with_end(record, progress)
        elif state == "Idle":
            record = replace(record, update=None)
        if self._effects.untold is not None:
            record = replace(record, untold=self._effects.untold)
        self._journal.write(record)
        log.info("%s: %s -> %s%s", self.model, before, state, f" ({event.why})" if event.why else "")
        self._enter()

    def _with_slot(self, record: Record, progress: Progress) -> Record:
        """The slot is chosen when the payload is whole: the one that does not run."""
        previous = slots.current(self._tools.disk, self.model)
        slot = slots.other(previous)
        update = _update(record)
        update = replace(update, slot=slot, previous=previous, progress=progress)
        known = record.slots.get(slot)
        same = known is not None and known.sha256 == update.target.sha256 and known.is_good
        held = SlotRecord(update.target.sha256, update.target.name, update.target.version, same)
        return replace(record, update=update, slots={**record.slots, slot: held})

    def _with_good(self, record: Record) -> Record:
        update = _update(record)
        held = {slot: replace(one, is_good=True) if slot == update.slot else one for slot, one in record.slots.items()}
        kept = tuple(item for item in record.failures if item.sha256 != update.target.sha256)
        return replace(record, slots=held, failures=kept)

    def _with_end(self, record: Record, progress: Progress) -> Record:
        """The failure is counted, and what its slot holds is forgotten before it is removed."""
        update = _update(record)
        known = record.failure(update.target.sha256)
        times = known.times + 1 if known is not None and known.attempt == update.target.attempt else 1
        failure = Failure(update.target.sha256, update.target.attempt, times, progress.is_lasting, progress.why)
        current = slots.current(self._tools.disk, self.model)
        held = {slot: one for slot, one in record.slots.items() if slot != update.slot or slot == current}
        return replace(_with_failure(record, failure), slots=held)

    # When the current artifact does not start

    def _fall_back(self, slot: Slot) -> bool:
        """Let the other slot's artifact serve, and start from now on, if it was good once; whether it does."""
        spare = slots.other(slot)
        held = self.record.slots.get(spare)
        if held is None or not held.is_good:
            return False
        try:
            self._effects.run(held, spare)
        except (RuntimeFailure, VerificationError) as error:
            log.error("%s: %s", self.model, error)
            return False
        slots.switch(self._tools.disk, self.model, spare)
        log.warning("%s: %s serves again, as the current artifact does not start.", self.model, held.name)
        return True

    def _give_up(self, slot: Slot) -> None:
        """Forget a damaged slot, so that its artifact is downloaded again."""
        if slots.current(self._tools.disk, self.model) == slot:
            slots.switch(self._tools.disk, self.model, None)
        held = {other: one for other, one in self.record.slots.items() if other != slot}
        self._journal.write(replace(self.record, slots=held))
        slots.clear(self._tools.disk, self.model, slot)


def _update(record: Record) -> Update:
    if record.update is None:
        raise ValueError("no update is on its way.")
    return record.update


def _with_failure(record: Record, failure: Failure) -> Record:
    others = tuple(item for item in record.failures if item.sha256 != failure.sha256)
    return replace(record, failures=(*others, failure))
