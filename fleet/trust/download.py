"""Downloads that resume and end: over cuts, restarts and power loss, from servers that lie.

The rules, in order:
1. A file that is here whole is not fetched again.
2. What is here of a file is kept and asked for from there on. Of a server that knows no ranges, what is here is skipped.
3. A server that tells another length than was signed is believed to have another file: VerificationError.
4. A failure that may pass is tried again with full jitter, until `attempts` in a row brought less than `_PROGRESS_BYTES`.
5. A file takes at most twice its bytes and a mebibyte more, however often it is cut, until it is here or failed.
6. A call takes `SLICE_S`, and at most the waits of one try more: then UnfinishedError, and the next call goes on where this one
   was, with the same connection. A process that dies in between loses no byte.
7. Nothing counts as the file before its whole digest was compared.
"""

from __future__ import annotations

import random
from collections.abc import Generator
from dataclasses import dataclass

from ...core.clock import Clock
from ...core.errors import EdgewrightError, NetworkError, UnfinishedError, VerificationError
from ..disk import Disk, ensure_folder
from ..http import Limits, TransientError
from .origin import Origin
from .part import ChunkList, Part, Wanted, is_whole

FOLDER = "downloads"
MAX_BYTES = 2 << 30  # of any file: as much as an artifact may have
SLICE_S = 30.0
_PROGRESS_BYTES = 64 << 10
_SPARE_BYTES = 1 << 20


class Downloads:
    """The folder of downloads: NAME is whole and verified, NAME.part and NAME.json are on the way."""

    def __init__(self, disk: Disk, origin: Origin, clock: Clock, limits: Limits, jitter: random.Random) -> None:
        self._disk = disk
        self._origin = origin
        self._clock = clock
        self._limits = limits
        self._jitter = jitter
        self._begun: dict[str, _Begun] = {}

    def fetch(self, wanted: Wanted, name: str, chunks: ChunkList | None = None) -> str:
        """Path of the whole and verified file, called `name`; with `chunks` each chunk is verified as it comes.

        Raises UnfinishedError when the time of a call is over, NetworkError, VerificationError or StoreError; but for a wrong
        file, what has come stays for the next call.
        """
        path = f"{FOLDER}/{name}"
        if wanted.length > MAX_BYTES:
            raise VerificationError(
                f"{wanted.source} has {wanted.length} bytes, more than the {MAX_BYTES} that a file may have."
            )
        ensure_folder(self._disk, FOLDER)
        if self.has(wanted, name):
            return path
        begun = self._taken_up(wanted, name, chunks)
        try:
            self._go_on(begun)
        except UnfinishedError:
            self._begun[name] = begun
            begun.part.mark()
            raise
        except (NetworkError, VerificationError):
            begun.part.mark()
            raise
        return begun.part.finish()

    def has(self, wanted: Wanted, name: str) -> bool:
        """Whether the file is here, whole."""
        return self._disk.size(f"{FOLDER}/{name}") is not None and is_whole(self._disk, f"{FOLDER}/{name}", wanted)

    def come(self, name: str) -> int:
        """Bytes that are here of a file on the way."""
        return self._disk.size(f"{FOLDER}/{name}.part") or 0

    def forget(self, prefix: str) -> None:
        """Remove every file whose name begins so, and end what is on the way to them."""
        for name in [name for name in self._begun if name.startswith(prefix)]:
            self._begun.pop(name).pieces.close()
        for name in self._disk.names(FOLDER):
            if name.startswith(prefix):
                self._disk.remove(f"{FOLDER}/{name}")

    def _taken_up(self, wanted: Wanted, name: str, chunks: ChunkList | None) -> _Begun:
        """The download that an earlier call left unfinished, or a new one."""
        begun = self._begun.pop(name, None)
        if begun is not None:
            if (begun.wanted, begun.chunks) == (wanted, chunks):
                return begun
            begun.pieces.close()
        path = f"{FOLDER}/{name}"
        self._disk.remove(path)
        part = Part(self._disk, path, wanted, chunks)
        return _Begun(wanted, chunks, part, self._complete(part, wanted))

    def _go_on(self, begun: _Begun) -> None:
        until = self._clock.monotonic() + SLICE_S
        for _ in begun.pieces:
            if self._clock.monotonic() >= until:
                raise UnfinishedError(f"more of {begun.wanted.source} is to come; ask for it again.")

    def _complete(self, part: Part, wanted: Wanted) -> Generator[None, None, None]:
        """Add to the part until it has the file's length; stops after each piece and each try."""
        budget = _Budget(wanted)
        failures, best = 0, part.size
        while part.size < wanted.length:
            try:
                yield from self._pour(part, wanted, budget)
                failure: EdgewrightError = TransientError(f"{wanted.source} was cut off before its end; try again.")
            except (TransientError, _WrongChunkError) as error:
                failure = error
            if part.size == wanted.length:
                return
            if part.size >= best + _PROGRESS_BYTES:
                failures, best = 0, part.size
            failures += 1
            if failures > self._limits.attempts:
                raise failure
            at_least = failure.at_least_s if isinstance(failure, TransientError) else 0.0
            self._clock.sleep(max(at_least, self._limits.wait(failures - 1, self._jitter)))
            yield

    def _pour(self, part: Part, wanted: Wanted, budget: _Budget) -> Generator[None, None, None]:
        """Take one answer of the origin into the part, as far as it goes."""
        with self._origin.flow(wanted.source, part.size, wanted.length) as flow:
            if flow.total is not None and flow.total != wanted.length:
                raise VerificationError(
                    f"{wanted.source} has {flow.total} bytes there, and {wanted.length} were signed; publish it again."
                )
            skip = part.size - flow.start
            for piece in flow.pieces:
                budget.spend(len(piece))
                try:
                    part.append(piece[skip:])
                except VerificationError as error:
                    raise _WrongChunkError(str(error)) from error
                skip = max(0, skip - len(piece))
                yield


@dataclass(frozen=True)
class _Begun:
    """A download between two calls: the connection, the tries and what they may still read live in `pieces`."""

    wanted: Wanted
    chunks: ChunkList | None
    part: Part
    pieces: Generator[None, None, None]


class _WrongChunkError(VerificationError):
    """What came is not what was signed; another try may bring the right bytes."""


class _Budget:
    """What one call may still read."""

    def __init__(self, wanted: Wanted) -> None:
        self._source = wanted.source
        self._left = 2 * wanted.length + _SPARE_BYTES

    def spend(self, size: int) -> None:
        """Count bytes; raises NetworkError when they were too many."""
        self._left -= size
        if self._left < 0:
            raise NetworkError(f"{self._source} comes in pieces that do not add up; ask for a server that knows ranges.")
