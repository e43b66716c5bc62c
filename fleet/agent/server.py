"""The control plane as the agent sees it: signed requests, and nothing that cannot be lost or said twice.

The last assignment is kept on the disk, so that a device without a network goes on with what it was told. The device's clock
may be wrong: where the server refuses a signature for its time, the difference to the server's clock is remembered for
signing, and used for nothing else.
"""

from __future__ import annotations

import email.utils
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass

from ...core.artifact_json import Fields
from ...core.errors import AgentError, ArtifactError, NetworkError, ProtocolError, StoreError
from ..disk import Disk, write_durable
from ..http import Answer as HttpAnswer
from ..http import Http
from ..protocol.assignment import Assignment, Wanted
from ..protocol.bench_job import BenchJob, Next, Told, waiting
from ..protocol.enrolment import NewKey, proof_text
from ..protocol.message import MAX_MESSAGE_BYTES, decode
from ..protocol.poll import PollSlot
from ..protocol.report import Answer, Report
from ..protocol.signature import sign
from ..telemetry.upload import NotTaken
from .identity import KEY, NEXT_KEY, DeviceKey, Identity, load_key, make_key

log = logging.getLogger("edgewright.agent")

_ASSIGNMENT, _REPORTS = "assignment.json", "reports.log"
_MAX_LOG_BYTES = 1 << 20
_CLOCK = "clock"  # the word with which the server refuses a signature for its time
# That a poll in its slot waits for a connection: less than until Linux asks a third time (0, 1, 3 s), so that of those who hang
# in their tries when a network is back only those of the last second get through at once.
CONNECT_S = 2.9
_NEVER = (400, 413)  # statuses of what would be refused again
_IDLE_S = 30.0  # after so long middle boxes may have forgotten a connection without telling


@dataclass(frozen=True)
class _Request:
    method: str
    path: str
    body: bytes
    kind: str
    etag: str | None
    attempts: int


class ControlServer:
    """The agent's `Server` over HTTP. Every method raises NetworkError, or ProtocolError when the server refuses."""

    def __init__(self, disk: Disk, http: Http, identity: Identity, key: DeviceKey) -> None:
        self._disk, self._http, self._identity, self._key = disk, http, identity, key
        self._offset_s = 0.0  # server's clock minus ours
        self._etag: str | None = None
        self._last = Assignment()  # of that etag
        self._slot: PollSlot | None = None
        self._bench: int | None = None
        self._heard_at = self._took_s = 0.0
        self._is_away = False  # at the last poll

    def assignment(self) -> Assignment:
        """What shall run; the last one known when it did not change.

        Asks once, and not for long, where the device has a slot to ask in: tries that go on until an outage ends come together
        with everybody else's then, and the next slot is not far.
        """
        began, self._is_away = self._http.clock.monotonic(), True
        attempts = None if self._slot is None else 1
        answer = self._ask("GET", "/v1/assignment", etag=self._etag, attempts=attempts)
        self._slot, self._bench, self._is_away = PollSlot.told(answer.headers), waiting(answer.headers), False
        self._took_s = self._http.clock.monotonic() - began
        if answer.status != 304:
            self._last, self._etag = Assignment.decode(answer.body), answer.etag
        self._keep(self._last.encode())
        return self._last

    def poll_slot(self) -> PollSlot | None:
        """When to ask again, as the server told with the last assignment."""
        return self._slot

    def known_assignment(self) -> Assignment:
        """The last one known, without asking; empty before the first."""
        return Assignment() if self._disk.size(_ASSIGNMENT) is None else Assignment.decode(self._disk.read(_ASSIGNMENT))

    def _keep(self, told: bytes) -> None:
        """For a start without a network; what was told counts also where the disk is full."""
        try:
            if self._disk.size(_ASSIGNMENT) is None or self._disk.read(_ASSIGNMENT) != told:
                write_durable(self._disk, _ASSIGNMENT, told)
        except StoreError as error:
            log.error("the assignment holds until the agent ends: %s", error)

    def report(self, report: Report) -> Answer:
        """Tell a state; the answer may take the deployment back."""
        return Answer.decode(self._ask("POST", "/v1/reports", report.encode()).body)

    def send_telemetry(self, frames: bytes) -> int:
        """Send frames; the highest sequence of this boot's that the server has now. One try: they wait for the next poll."""
        if self._is_away:
            raise NetworkError("the server did not answer this device's poll, so telemetry waits for the next one.")
        answer = self._ask("POST", "/v1/telemetry", frames, "application/octet-stream", attempts=1)
        return decode(answer.body, "the answer to telemetry", lambda read: read.count("sequence"))

    def send_sample(self, data: bytes) -> bool:
        """Send a kept example; whether the server has it now, else it takes no more today. One try, as for telemetry.

        Raises NotTaken for one that it will never take.
        """
        if self._is_away:
            raise NetworkError("the server did not answer this device's poll, so samples wait for the next one.")
        answer = self._ask("POST", "/v1/samples", data, "application/octet-stream", attempts=1)
        return decode(answer.body, "the answer to a sample", lambda read: read.flag("is_kept"))

    def bench_waiting(self) -> int | None:
        """Number of the run that waits for this device, as told with the last assignment."""
        return self._bench

    def bench(self, told: Told) -> BenchJob | None:
        """Tell what came of a measuring, if there was one, and hear the next job. One try; raises NotTaken as for samples."""
        if self._is_away:
            raise NetworkError("the server did not answer this device's poll, so a measuring waits for the next one.")
        return Next.decode(self._ask("POST", "/v1/bench", told.encode(), attempts=1).body).job

    def replace_key(self) -> None:
        """Give the device a new key: made durable, told to the server, and only then used.

        Where the answer was lost the server knows the new key only, which the next request of any kind finds out.
        """
        fresh = self._next_key() or make_key(self._disk, NEXT_KEY)
        proof = fresh.sign(proof_text(self._identity.device, fresh.public))
        self._ask("POST", "/v1/key", NewKey(fresh.public, proof).encode())
        if self._key.public != fresh.public:
            self._use(fresh)

    def _next_key(self) -> DeviceKey | None:
        """The key that was to replace this one, where it is not known whether the server heard of it."""
        try:
            return load_key(self._disk, NEXT_KEY)
        except (AgentError, StoreError) as error:
            log.error("%s", error)
            return None

    def _use(self, key: DeviceKey) -> None:
        self._key = key
        try:
            self._disk.rename(NEXT_KEY, KEY)
            self._disk.sync(".")
        except StoreError as error:
            log.error("the new key stays in %s, and is found there again: %s", NEXT_KEY, error)

    def _ask(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        kind: str = "application/json",
        *,
        etag: str | None = None,
        attempts: int | None = None,
    ) -> HttpAnswer:
        """Ask, up to `attempts` times where the network fails, by default as often as the limits allow."""
        request = _Request(method, path, body, kind, etag, self._http.limits.attempts if attempts is None else attempts)
        answer = self._signed(request, self._key)
        if answer.status == 401 and (fresh := self._next_key()) is not None:
            again = self._signed(request, fresh)
            if again.status in (200, 304):
                log.warning("the server knows the new key of this device already; it is used from now on.")
                self._use(fresh)
                answer = again
        if answer.status not in (200, 304):
            raise refusal(answer, f"answer {method} {path}")
        return answer

    def _signed(self, request: _Request, key: DeviceKey) -> HttpAnswer:
        answer = self._once(request, key)
        if answer.status == 401 and _reason(answer)[0] == _CLOCK and self._learn_offset(answer):
            answer = self._once(request, key)
        return answer

    def _once(self, request: _Request, key: DeviceKey) -> HttpAnswer:
        url, http = self._identity.server + request.path, self._http
        fields = sign(request.method, url, request.body, self._identity.device, http.clock.now() + self._offset_s, key.sign)
        if http.clock.monotonic() - self._heard_at > _IDLE_S:
            http.close_idle()
        most, tries = MAX_MESSAGE_BYTES, request.attempts
        if request.method == "GET":
            # Slow networks need longer, and tell so with the first poll, which has all the time that the limits give.
            connect_s = None if self._slot is None else min(max(CONNECT_S, 2 * self._took_s), http.limits.connect_s)
            answer = http.get(url, max_bytes=most, headers=fields, etag=request.etag, attempts=tries, connect_s=connect_s)
        else:
            # Reports and telemetry count once, and a key is replaced by itself: each may be sent again.
            fields["Content-Type"] = request.kind
            answer = http.post(url, request.body, max_bytes=most, headers=fields, attempts=tries)
        self._heard_at = http.clock.monotonic()
        return answer

    def _learn_offset(self, answer: HttpAnswer) -> bool:
        try:
            told = email.utils.parsedate_to_datetime(answer.headers.get("date", "")).timestamp()
        except (TypeError, ValueError, OverflowError, OSError):
            return False
        self._offset_s = told - self._http.clock.now()
        log.info("the server's clock is %.0f s ahead of this device's; requests are signed with its time.", self._offset_s)
        return True


class NoServer:
    """A device that asks nobody: it follows the newest of each model that fits, and what it would tell goes into a log."""

    def __init__(self, disk: Disk, models: tuple[str, ...], known: Mapping[str, Wanted] | None = None) -> None:
        """`known`: what was assigned before; of other models the newest is followed."""
        self._disk = disk
        self._assignment = Assignment({model: (known or {}).get(model, Wanted(model)) for model in models})

    def assignment(self) -> Assignment:
        """What is followed."""
        return self._assignment

    def poll_slot(self) -> None:
        """Nobody says when to ask."""

    def report(self, report: Report) -> Answer:
        """Append a line to the log, of which about the last megabyte is kept."""
        line = report.encode() + b"\n"
        size = self._disk.size(_REPORTS) or 0
        if size + len(line) > _MAX_LOG_BYTES:
            kept = self._disk.read(_REPORTS)[-_MAX_LOG_BYTES // 2 :].partition(b"\n")[2]
            write_durable(self._disk, _REPORTS, kept)
            size = len(kept)
        self._disk.write_range(_REPORTS, size, line)
        return Answer()

    def send_telemetry(self, frames: bytes) -> int:
        """Raise NetworkError: nobody takes them, so they stay on the disk."""
        raise NetworkError("this device has no server, so its telemetry stays on its disk.")


def refusal(answer: HttpAnswer, doing: str) -> ProtocolError:
    """The error for an answer that is none of those hoped for, in the server's words where it has some."""
    _, why = _reason(answer)
    kind = NotTaken if answer.status in _NEVER else ProtocolError
    return kind(f"the server does not {doing} (status {answer.status}{': ' + why if why else ''}); ask who runs it.")


def _reason(answer: HttpAnswer) -> tuple[str, str]:
    """Code and sentence of a refusal."""
    try:
        read = Fields(json.loads(answer.body), "the refusal")
        return read.text("code"), read.text("error").rstrip(".")[:500]
    except (ArtifactError, ValueError, RecursionError):
        return "", ""
