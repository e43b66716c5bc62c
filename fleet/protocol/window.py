"""A window of telemetry: counts of one artifact's requests over a time, exactly mergeable, and small on the wire.

The bins are not sent: the artifact's digest names them (`manifest.histograms`, in their order; each has one count more than
edges). A batch of windows is what a device sends. Its stream is named by the start of the agent that began it; within a stream
the windows of a model have rising sequence numbers, so that a server counts each once however often it comes.

    window: u8 version | text model | 32 bytes SHA-256 | counts as LEB128: start end merged requests samples unseen
            | errors by kind | latency by bin | number of tensors, and for each its number of counts and the counts
    batch:  "EWT1" | zlib of: text stream | number of windows, and for each: LEB128 sequence | LEB128 bytes | window
    text:   LEB128 bytes | UTF-8
"""

from __future__ import annotations

import itertools
import operator
import re
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ...core.errors import ProtocolError
from .offer import check_model

# Upper edges of the latency bins in milliseconds, eight a decade: 0.01 ms to 10 s; beyond lies a last bin.
LATENCY_EDGES_MS: tuple[float, ...] = tuple(round(0.01 * 10 ** (step / 8), 6) for step in range(49))
LATENCY_BINS = len(LATENCY_EDGES_MS) + 1
# `request`: the client broke the protocol; `mismatch`: it asks for another model's inputs or outputs; `runtime`: the runtime
# failed; `internal`: a mistake of this program.
ErrorKind = Literal["request", "mismatch", "runtime", "internal"]
ERROR_KINDS: tuple[ErrorKind, ...] = ("request", "mismatch", "runtime", "internal")

MAX_BATCH_BYTES = 256 << 10  # as sent
MAX_PLAIN_BYTES = 4 << 20  # unpacked
MAX_WINDOWS = 1000  # of a batch
MAX_TENSORS, MAX_BINS = 512, 4096
_MAX_COUNT = 2**63 - 1
_MAX_TIME = 2**40  # seconds since 1970
_WINDOW_VERSION = 1
_MAGIC = b"EWT1"
_STREAM = re.compile(r"[A-Za-z0-9._-]{1,100}")
_TEXT_BYTES = 300


@dataclass(frozen=True)
class Window:
    """Counts of one artifact over [start, end], seconds since 1970 by the device's clock.

    `merged` windows are in it. `samples` are those of all answered `requests`; of `unseen` requests the tensors were not
    counted, because counting did not keep up. `errors` are by ERROR_KINDS, `latency` below each of LATENCY_EDGES_MS and above
    the last, `tensors` in the artifact's bins.
    """

    model: str
    sha256: str
    start: int
    end: int
    merged: int
    requests: int
    samples: int
    unseen: int
    errors: tuple[int, ...]
    latency: tuple[int, ...]
    tensors: tuple[tuple[int, ...], ...]

    def merge(self, other: Window) -> Window:
        """Counts of both; associative and commutative. Raises ProtocolError for windows of different artifacts."""
        same = (self.model, self.sha256) == (other.model, other.sha256)
        if not same or self._lengths() != other._lengths():
            raise ProtocolError("windows of different artifacts cannot be merged.")
        return replace(
            self,
            start=min(self.start, other.start),
            end=max(self.end, other.end),
            merged=self.merged + other.merged,
            requests=self.requests + other.requests,
            samples=self.samples + other.samples,
            unseen=self.unseen + other.unseen,
            errors=_sum(self.errors, other.errors),
            latency=_sum(self.latency, other.latency),
            tensors=tuple(map(_sum, self.tensors, other.tensors)),
        )

    @property
    def is_empty(self) -> bool:
        """Whether nothing happened."""
        return not (self.requests or any(self.errors))

    def encode(self) -> bytes:
        """The window's bytes; raises ProtocolError for one that breaks the bounds."""
        self._check()
        pieces = [bytes([_WINDOW_VERSION]), _text(self.model), bytes.fromhex(self.sha256)]
        pieces += map(_leb128, (self.start, self.end, self.merged, self.requests, self.samples, self.unseen))
        pieces += [_all_leb128(self.errors), _all_leb128(self.latency), _leb128(len(self.tensors))]
        for counts in self.tensors:
            pieces += [_leb128(len(counts)), _all_leb128(counts)]
        return b"".join(pieces)

    @staticmethod
    def decode(data: bytes) -> Window:
        """Inverse of `encode`; raises ProtocolError for anything else."""
        read = _Reader(data)
        if read.take(1)[0] != _WINDOW_VERSION:
            raise ProtocolError("the window is of a version that this program does not know.")
        model, sha256 = read.text(), read.take(32).hex()
        start, end, merged, requests, samples, unseen = read.numbers(6)
        errors, latency = read.numbers(len(ERROR_KINDS)), read.numbers(LATENCY_BINS)
        tensors = tuple(read.numbers(read.number(MAX_BINS)) for _ in range(read.number(MAX_TENSORS)))
        read.check_end()
        window = Window(model, sha256, start, end, merged, requests, samples, unseen, errors, latency, tensors)
        window._check()
        return window

    def _lengths(self) -> list[int]:
        return [len(counts) for counts in (self.errors, self.latency, *self.tensors)]

    def _check(self) -> None:
        check_model(self.model)
        if not (0 <= self.start <= self.end <= _MAX_TIME and self.merged >= 1):
            raise ProtocolError(f"the window of {self.model!r} spans no time.")
        if len(self.errors) != len(ERROR_KINDS) or len(self.latency) != LATENCY_BINS:
            raise ProtocolError(f"the window of {self.model!r} has other kinds of errors or bins of latency than are known.")
        if len(self.tensors) > MAX_TENSORS or max(map(len, self.tensors), default=0) > MAX_BINS:
            raise ProtocolError(f"the window of {self.model!r} has more bins than an artifact has.")


@dataclass(frozen=True)
class Batch:
    """Windows of one stream with their sequence numbers."""

    stream: str
    windows: tuple[tuple[int, bytes], ...]

    def encode(self) -> bytes:
        """What is sent; raises ProtocolError for more than may be."""
        if not _STREAM.fullmatch(self.stream):
            raise ProtocolError(f"the stream {self.stream[:100]!r} is no name.")
        plain = [_text(self.stream), _leb128(len(self.windows))]
        for sequence, window in self.windows:
            plain += [_leb128(sequence), _leb128(len(window)), window]
        data = _MAGIC + zlib.compress(b"".join(plain), 9)
        if len(data) > MAX_BATCH_BYTES or len(self.windows) > MAX_WINDOWS:
            raise ProtocolError(f"the batch of {len(self.windows)} windows is too large; send fewer at once.")
        return data

    @staticmethod
    def decode(data: bytes) -> Batch:
        """Inverse of `encode`; the windows are not decoded. Raises ProtocolError for anything else."""
        read = _Reader(_unpacked(data))
        stream = read.text()
        if not _STREAM.fullmatch(stream):
            raise ProtocolError("the batch's stream is no name.")
        windows = []
        for _ in range(read.number(MAX_WINDOWS)):
            sequence = read.number()
            windows.append((sequence, read.take(read.number())))
        read.check_end()
        if any(one >= two for (one, _), (two, _) in itertools.pairwise(windows)):
            raise ProtocolError("the batch's windows are not in their order.")
        return Batch(stream, tuple(windows))


def merge_all(windows: Iterable[Window]) -> Window:
    """All windows in one; raises ProtocolError for none, or for windows of different artifacts."""
    found: Window | None = None
    for window in windows:
        found = window if found is None else found.merge(window)
    if found is None:
        raise ProtocolError("there is no window to merge.")
    return found


def _sum(one: Sequence[int], two: Sequence[int]) -> tuple[int, ...]:
    return tuple(map(operator.add, one, two))


def _leb128(number: int) -> bytes:
    if not 0 <= number <= _MAX_COUNT:
        raise ProtocolError(f"{number} is no count.")
    made = bytearray()
    while number > 0x7F:
        made.append(number & 0x7F | 0x80)
        number >>= 7
    made.append(number)
    return bytes(made)


def _all_leb128(numbers: Sequence[int]) -> bytes:
    """Most counts are small and are their own LEB128, so that a server of many windows has little to do."""
    if numbers and min(numbers) >= 0 and max(numbers) <= 0x7F:
        return bytes(numbers)
    made = bytearray()
    for number in numbers:
        if 0 <= number <= 0x7F:
            made.append(number)
        elif 0 < number <= 0x3FFF:
            made.append(number & 0x7F | 0x80)
            made.append(number >> 7)
        else:
            made += _leb128(number)
    return bytes(made)


def _text(text: str) -> bytes:
    data = text.encode()
    return _leb128(len(data)) + data


def _unpacked(data: bytes) -> bytes:
    if len(data) > MAX_BATCH_BYTES or not data.startswith(_MAGIC):
        raise ProtocolError("this is no batch of telemetry.")
    unpack = zlib.decompressobj()
    try:
        plain = unpack.decompress(data[len(_MAGIC) :], MAX_PLAIN_BYTES + 1)
    except zlib.error as error:
        raise ProtocolError("the batch of telemetry is damaged.") from error
    if len(plain) > MAX_PLAIN_BYTES or not unpack.eof or unpack.unused_data:
        raise ProtocolError("the batch of telemetry is damaged, or unpacks to more than it may.")
    return plain


class _Reader:
    """Bytes read from the front; every method raises ProtocolError when they do not suffice."""

    def __init__(self, data: bytes) -> None:
        self._data, self._place = data, 0

    def take(self, size: int) -> bytes:
        end = self._place + size
        if end > len(self._data):
            raise ProtocolError("the telemetry ends too early.")
        found = self._data[self._place : end]
        self._place = end
        return found

    def number(self, most: int = _MAX_COUNT) -> int:
        """A LEB128 number in its shortest form."""
        (number,) = self.numbers(1)
        if number > most:
            raise ProtocolError("a number of the telemetry is too large.")
        return number

    def numbers(self, count: int) -> tuple[int, ...]:
        """So many LEB128 numbers, each in its shortest form; bytes below 128 are their own, and are read at once."""
        piece = self._data[self._place : self._place + count]
        if len(piece) == count and piece.isascii():
            self._place += count
            return tuple(piece)
        data, place, found = self._data, self._place, []
        try:
            for _ in range(count):
                byte = data[place]
                place += 1
                number, shift = byte & 0x7F, 7
                while byte >= 0x80:
                    if shift > 63:
                        raise ProtocolError("a number of the telemetry is too long.")
                    byte = data[place]
                    place += 1
                    number |= (byte & 0x7F) << shift
                    shift += 7
                if shift > 7 and (byte == 0 or number > _MAX_COUNT):
                    raise ProtocolError("a number of the telemetry is too large, or not in its shortest form.")
                found.append(number)
        except IndexError as error:
            raise ProtocolError("the telemetry ends too early.") from error
        self._place = place
        return tuple(found)

    def text(self) -> str:
        try:
            return self.take(self.number(_TEXT_BYTES)).decode()
        except UnicodeDecodeError as error:
            raise ProtocolError("a name in the telemetry is no text.") from error

    def check_end(self) -> None:
        if self._place != len(self._data):
            raise ProtocolError("there is something behind the end of the telemetry.")
