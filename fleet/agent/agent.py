"""The agent's loop: ask what shall run, choose among what is signed, go on with each model's update, tell, sleep.

A poll goes in this order: the server is asked; telemetry is sent; the repository is refreshed; ends that could not be told are
told; what serves no more is served again; updates begin; and who has nothing on its way says what it runs. Any of these may
fail, also by a mistake of this program: the device goes on with what it has, and the next poll comes in its slot (`rhythm`), so
that devices which lost the network together do not come back together.
"""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import ParamSpec

from ...core.errors import EdgewrightError, NetworkError, ProtocolError
from ..protocol.assignment import Assignment, Wanted
from ..protocol.offered import Offered
from .choose import Device, choose
from .effects import Tools
from .ports import Around, Measurings, Server, Telemetry
from .rhythm import Pace, Rhythm
from .update import ModelUpdates

log = logging.getLogger("edgewright.agent")
Given = ParamSpec("Given")


class Stopped(BaseException):
    """The process was asked to end. It passes every handler of errors: what it interrupts is safe against worse."""


class Agent:
    """All models of one device. `device` says what artifacts fit, `telemetry` what waits to be sent, `measurings` what is asked
    to be timed."""

    def __init__(
        self,
        tools: Tools,
        server: Server,
        device: Device,
        rhythm: Rhythm | None = None,
        telemetry: Telemetry | None = None,
        measurings: Measurings | None = None,
    ) -> None:
        self._tools, self._server, self._device = tools, server, device
        self._telemetry, self._measurings = telemetry, measurings
        self._pace = Pace(rhythm or Rhythm(), tools.chance)
        self.models: dict[str, ModelUpdates] = {}
        self._assignment = Assignment()
        self._remarks: dict[str, str] = {}  # why nothing is done for a model
        self._told: dict[str, tuple[str | None, str]] = {}  # what the server knows of an idle model
        self._waited: dict[str, int] = {}  # polls without an update of a model
        self.ran: dict[str, str | None] = {}  # what ran at the end of `run_once`, by model

    def run(self) -> None:
        """Recover, then poll and update until the process is asked to end; SIGTERM and SIGINT return from here."""
        clock = self._tools.clock
        with _until_stopped():
            try:
                self.recover()
                poll_at = clock.monotonic() + self._pace.first()
                while True:
                    if clock.monotonic() >= poll_at:
                        poll_at = clock.monotonic() + self.poll()
                    wait = self.step()
                    left = max(0.0, poll_at - clock.monotonic())
                    clock.sleep(left if wait is None else min(wait, left))
            finally:
                self._end_workers()

    def run_once(self) -> None:
        """Recover, poll once, carry the updates that begin to their ends, tell what runs, and end the workers."""
        clock = self._tools.clock
        with _until_stopped():
            try:
                self.recover()
                self._waited = dict.fromkeys(self.models, sys.maxsize)  # somebody asked for it now
                self.poll()
                while (wait := self.step()) is not None:
                    clock.sleep(wait)
                for model in self.models.values():
                    self._tried(self._say, model)
                self.ran = dict.fromkeys(self._assignment.models)
                self.ran |= {name: model.running for name, model in self.models.items()}
            finally:
                self._end_workers()

    def recover(self) -> None:
        """Let every model that is on the disk run, and settle what was interrupted."""
        found: list[str] = []
        self._tried(lambda: found.extend(self._tools.disk.names("models")))
        for name in found:
            if self._tried(self._open, name):
                self._tried(self.models[name].recover)

    def poll(self) -> float:
        """One round with the outside; seconds until the next."""
        is_well = self._tried(self._ask)  # first: a slow mirror shall not keep a device from hearing what it shall do
        if self._telemetry is not None:
            self._tried(self._telemetry.send, self._server)
        self._tried(self._tools.source.refresh)
        for model in self.models.values():
            is_well = is_well and self._tried(model.tell_end)
            self._tried(model.serve)
        for wanted in self._assignment.models.values():
            self._tried(self._attend, wanted)
        for model in self.models.values():
            is_well &= self._tried(self._say, model)
        for name in self._assignment.models.keys() - self.models.keys():
            is_well &= self._tried(self._say_idle, name, None)
        if self._measurings is not None:
            self._tried(self._measurings.poll, self._around())
        return self._pace.wait(self._tools.clock.monotonic(), is_well)

    def step(self) -> float | None:
        """Go on with all that is on its way: the seconds until one of it wants to go on, or None when nothing is."""
        waits = [self._stepped(name, model.step) for name, model in self.models.items()]
        if self._measurings is not None:
            waits.append(self._stepped("measuring", self._measurings.step, self._around()))
        return min((wait for wait in waits if wait is not None), default=None)

    def remark(self, model: str) -> str:
        """Why nothing is done for a model, in one clause, or nothing."""
        return self._remarks.get(model, "")

    def _ask(self) -> None:
        self._assignment = self._server.assignment()
        self._pace.told(self._server.poll_slot(), self._tools.clock.monotonic())
        named = self._assignment.models.keys() | self.models.keys()
        for kept in (self._remarks, self._told):
            for name in kept.keys() - named:
                del kept[name]

    def _attend(self, wanted: Wanted) -> None:
        """Begin what is wanted of a model, or end what is not wanted any more."""
        offers = self._tools.source.offers()
        model = self.models.get(wanted.model) or self._open_new(wanted.model, offers)
        if model is None:
            self._remarks[wanted.model] = "nothing is signed for this model"
            return
        on_its_way = model.record.update
        if on_its_way is not None:
            is_other = wanted.sha256 is not None and wanted.sha256 != on_its_way.target.sha256
            model.withdraw(f"{str(wanted.sha256)[:12]} is assigned now" if is_other else "")
            return
        waited = self._waited[wanted.model] = self._waited.get(wanted.model, 0) + 1
        choice = choose(wanted, offers, self._device, model.record, model.current, waited)
        self._remarks[wanted.model] = choice.why
        if choice.offered is not None:
            model.begin(choice.offered, wanted.attempt, wanted.deadline_s)
            self._waited[wanted.model] = 0
        elif choice.refused is not None and model.record.untold is None:  # else the one before it would never be told
            model.refuse(choice.refused, wanted.attempt, choice.why)

    def _say(self, model: ModelUpdates) -> None:
        """Tell the end of an update that nobody heard of; tell what runs where nothing is on its way and it is news."""
        model.tell_end()
        if model.record.update is None:
            self._say_idle(model.model, model.running)

    def _say_idle(self, name: str, running: str | None) -> None:
        news = (running, self._remarks.get(name, ""))
        if self._told.get(name) != news:
            self._tools.reporter.tell(name, "Idle", running, why=news[1])
            self._told[name] = news

    def _open_new(self, name: str, offers: Sequence[Offered]) -> ModelUpdates | None:
        """A model that is not open yet; None where neither a signature nor the disk knows it, so that names cost no space."""
        if name not in self._tools.disk.names("models") and all(one.offer.model != name for one in offers):
            return None
        model = self._open(name)
        self._tried(model.serve)
        return model

    def _open(self, name: str) -> ModelUpdates:
        self.models[name] = ModelUpdates(name, self._tools)
        return self.models[name]

    def _stepped(
        self, name: str, step: Callable[Given, float | None], *given: Given.args, **named: Given.kwargs
    ) -> float | None:
        """What a step says; where it fails, the seconds after which it is tried again."""
        try:
            return step(*given, **named)
        except EdgewrightError as error:
            log.error("%s: %s", name, error)
        except Exception:
            log.exception("%s: a mistake of the agent's own", name)
        return self._tools.patience.base_s

    def _around(self) -> Around:
        models = self.models.values()
        held = {sha256: path for model in models for sha256, path in model.held().items()}
        is_updating = any(model.record.update is not None for model in models)
        return Around(is_updating, held, sum(model.running is not None for model in models))

    def _end_workers(self) -> None:
        if self._measurings is not None:
            self._measurings.stop()
        for name in self.models:
            generation = self._tools.serving.running(name)
            if generation is not None:
                self._tools.serving.stop(generation)

    @staticmethod
    def _tried(work: Callable[Given, object], *given: Given.args, **named: Given.kwargs) -> bool:
        """Whether it ended well; a failure is logged, foreseen or not, and the device goes on."""
        try:
            work(*given, **named)
        except (NetworkError, ProtocolError) as error:
            log.warning("%s", error)
        except EdgewrightError as error:
            log.error("%s", error)
        except Exception:
            log.exception("a mistake of the agent's own")
        else:
            return True
        return False


@contextmanager
def _until_stopped() -> Iterator[None]:
    """End the block, quietly, at the first SIGTERM or SIGINT; further ones wait for what is tidied up."""

    def stop(number: int, frame: FrameType | None) -> None:
        for one in before:
            signal.signal(one, signal.SIG_IGN)
        raise Stopped

    before = {one: signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT)}
    for one in before:
        signal.signal(one, stop)
    try:
        yield
    except Stopped:
        log.info("the agent ends because it was asked to.")
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
