"""Messages between device and server as JSON: bounded, canonical, and read strictly; every failure is a ProtocolError."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from ...core.artifact_json import Fields, parse, write
from ...core.errors import ArtifactError, ProtocolError

MAX_MESSAGE_BYTES = 64 << 10

T = TypeVar("T")


def encode(value: Any, what: str) -> bytes:
    """Canonical JSON of a message; raises ProtocolError where it is larger than a message may be."""
    try:
        data = write(value, what)
    except ArtifactError as error:
        raise ProtocolError(str(error)) from error
    _check_size(data, what)
    return data


def decode(data: bytes, what: str, read: Callable[[Fields], T]) -> T:
    """What `read` makes of the JSON object in `data`; unknown fields are refused. Raises ProtocolError."""
    _check_size(data, what)
    try:
        fields = _Seen(parse(data, what), what)
        result = read(fields)
        fields.check_all_seen(what)
    except ArtifactError as error:
        raise ProtocolError(str(error)) from error
    return result


def _check_size(data: bytes, what: str) -> None:
    if len(data) > MAX_MESSAGE_BYTES:
        raise ProtocolError(f"{what} has {len(data)} bytes, more than the {MAX_MESSAGE_BYTES} of a message.")


class _Seen(Fields):
    """Remembers which fields were read, so that what nobody reads is refused."""

    def __init__(self, value: Any, where: str) -> None:
        super().__init__(value, where)
        self._seen: set[str] = set()

    def any(self, key: str) -> Any:
        """The field, of any kind."""
        self._seen.add(key)
        return super().any(key)

    def check_all_seen(self, what: str) -> None:
        """Raise ArtifactError where the object holds more than was read."""
        unknown = sorted(set(self._value) - self._seen)
        if unknown:
            raise ArtifactError(f"{what} has the field {unknown[0]!r}, which this version does not know.")
