"""What devices tell: they enrol, report, send telemetry, change keys. What a body holds is read by `fleet.protocol` alone."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool

from ...core.canonical import dumps
from ..protocol.bench_job import Told
from ..protocol.enrolment import Enrolled, Enrolment, NewKey
from ..protocol.report import Answer, Report
from ..protocol.sample import About
from ..protocol.window import Batch
from .auth import NotAllowed, check_new_key
from .bench.store import Benches
from .metrics import Counts
from .polls import Polls
from .samples import Samples
from .store import Store
from .writer import Writer


@dataclass(frozen=True)
class Devices:
    """Each method takes a body, and the device that signed it, and gives the body of the answer.

    `repository` is the address of the signed repository that new devices are told. All raise ProtocolError and StoreError.
    """

    store: Store
    polls: Polls
    writer: Writer
    counts: Counts
    repository: str

    async def enrol(self, body: bytes) -> bytes:
        """A token and a key, from a device that nobody knows yet."""
        device = await run_in_threadpool(self.store.enrol, Enrolment.decode(body))
        return Enrolled(device, self.repository).encode()

    async def report(self, device: str, body: bytes) -> bytes:
        """One report."""
        report = Report.decode(body)
        if report.device != device:
            raise NotAllowed("a device reports for itself only.")
        is_aborted = await self.writer.do(lambda connection: self.store.take_in(connection, report))
        if report.result is not None:
            self.counts.reported(report.model, report.result)
        return Answer(is_aborted).encode()

    async def telemetry(self, device: str, body: bytes) -> bytes:
        """A batch of windows."""
        found = await self.writer.do_as_one(self.store.keep_windows, (device, Batch.decode(body)))
        self.counts.heard(self.polls.cohort(device, found.model), (window for _, window in found.windows))
        return dumps({"sequence": found.highest})

    async def sample(self, device: str, body: bytes) -> bytes:
        """A kept example; whether the server has it now, else the device has sent enough today."""
        about = await run_in_threadpool(About.read, body)
        samples = Samples(self.store.database)
        return dumps({"is_kept": await self.writer.do(lambda connection: samples.keep(connection, device, about, body))})

    async def bench(self, device: str, body: bytes) -> bytes:
        """What came of a measuring, or nothing; the next one."""
        told, benches = await run_in_threadpool(Told.decode, body), Benches(self.store.database)
        return (await self.writer.do(lambda connection: benches.hear(connection, device, told))).encode()

    async def key(self, device: str, body: bytes) -> bytes:
        """A key in place of the one that signed."""
        new = NewKey.decode(body)
        check_new_key(device, new)
        await run_in_threadpool(self.store.replace_key, device, new.public_key)
        return b"{}"
