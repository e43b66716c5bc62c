"""JSON from an artifact: bounded, canonical to the byte, and read field by field with a sentence for what is wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from typing import Any

from .canonical import dumps
from .errors import ArtifactError, unknown

MAX_JSON_BYTES = 4 << 20
MAX_JSON_DEPTH = 16

_SHA256 = re.compile(r"[0-9a-f]{64}")


def write(value: Any, where: str) -> bytes:
    """Canonical bytes of a JSON value, within the limits that `parse` holds; raises ArtifactError naming `where`."""
    try:
        data = dumps(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise ArtifactError(f"{where} cannot be written as JSON: {error}.") from error
    parse(data, where)
    return data


def parse(data: bytes, where: str) -> Any:
    """Value of canonical JSON; raises ArtifactError on more bytes, depth or other spelling than `write` would give.

    Other spelling covers duplicate keys, NaN and infinity, white space, unsorted keys, escapes and number forms.
    """
    if len(data) > MAX_JSON_BYTES:
        raise ArtifactError(f"{where} has {len(data)} bytes, more than the {MAX_JSON_BYTES} that it may have.")
    try:
        value = json.loads(data.decode("utf-8"))
    except RecursionError as error:
        raise _too_deep(where) from error
    except ValueError as error:
        raise ArtifactError(f"{where} is not JSON; fetch or compile the artifact again.") from error
    _check_depth(value, where)
    try:
        same = dumps(value) == data
    except ValueError:
        same = False
    if not same:
        raise ArtifactError(f"{where} is not canonical JSON (a key twice, a number that is not finite, or other spelling).")
    return value


def _check_depth(value: Any, where: str) -> None:
    level = [value]
    for _ in range(MAX_JSON_DEPTH + 1):
        level = [
            item
            for holder in level
            if isinstance(holder, (dict, list))
            for item in (holder.values() if isinstance(holder, dict) else holder)
        ]
        if not level:
            return
    raise _too_deep(where)


def _too_deep(where: str) -> ArtifactError:
    return ArtifactError(f"{where} is nested deeper than {MAX_JSON_DEPTH} levels; it was not written by this format.")


class Fields:
    """A JSON object read field by field; every method raises ArtifactError naming the field when it is of another kind."""

    def __init__(self, value: Any, where: str) -> None:
        """Hold an object; `where` names it in messages."""
        if not isinstance(value, dict):
            raise ArtifactError(f"{where} is not an object.")
        self._value: Mapping[str, Any] = value
        self._where = where

    def any(self, key: str) -> Any:
        """The field, of any kind."""
        if key not in self._value:
            raise ArtifactError(f"{self._where} has no {key!r}; it was not written by this format.")
        return self._value[key]

    def has(self, key: str) -> bool:
        """Whether the field is there."""
        return key in self._value

    def text(self, key: str) -> str:
        """A string."""
        return self._typed(key, str, "a string")  # type: ignore[no-any-return]

    def choice(self, key: str, choices: Collection[str]) -> str:
        """A string that is one of `choices`."""
        value = self.text(key)
        if value not in choices:
            raise ArtifactError(f"{self._where}: {unknown(key, value, choices)}")
        return value

    def sha256(self, key: str) -> str:
        """A SHA-256 in lower-case hexadecimal."""
        value = self.text(key)
        if not _SHA256.fullmatch(value):
            raise ArtifactError(f"{self._where}: {key!r} is not a SHA-256 in lower-case hexadecimal.")
        return value

    def count(self, key: str) -> int:
        """An integer of at least 0."""
        value = self._typed(key, int, "a count")
        if isinstance(value, bool) or value < 0:
            raise ArtifactError(f"{self._where}: {key!r} is not a count.")
        return int(value)

    def number(self, key: str) -> float:
        """A finite floating-point number."""
        return self._typed(key, float, "a floating-point number")  # type: ignore[no-any-return]

    def flag(self, key: str) -> bool:
        """True or false."""
        return self._typed(key, bool, "true or false")  # type: ignore[no-any-return]

    def items(self, key: str) -> list[Any]:
        """A list."""
        return self._typed(key, list, "a list")  # type: ignore[no-any-return]

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of strings."""
        values = self.items(key)
        if not all(isinstance(value, str) for value in values):
            raise ArtifactError(f"{self._where}: {key!r} is not a list of strings.")
        return tuple(values)

    def numbers(self, key: str) -> tuple[float, ...]:
        """A list of floating-point numbers."""
        values = self.items(key)
        if not all(isinstance(value, float) for value in values):
            raise ArtifactError(f"{self._where}: {key!r} is not a list of floating-point numbers.")
        return tuple(values)

    def counts(self, key: str) -> tuple[int, ...]:
        """A list of integers of at least 0."""
        values = self.items(key)
        if not all(isinstance(value, int) and not isinstance(value, bool) and value >= 0 for value in values):
            raise ArtifactError(f"{self._where}: {key!r} is not a list of counts.")
        return tuple(values)

    def object(self, key: str) -> Fields:
        """An object, to be read field by field."""
        return Fields(self.any(key), f"{self._where}, {key!r}")

    def mapping(self, key: str) -> dict[str, Any]:
        """An object with keys and values of its own."""
        return self._typed(key, dict, "an object")  # type: ignore[no-any-return]

    def is_null(self, key: str) -> bool:
        """Whether the field is null."""
        return self.any(key) is None

    def optional_number(self, key: str) -> float | None:
        """A floating-point number or null."""
        return None if self.is_null(key) else self.number(key)

    def optional_count(self, key: str) -> int | None:
        """A count or null."""
        return None if self.is_null(key) else self.count(key)

    def optional_choice(self, key: str, choices: Collection[str]) -> str | None:
        """One of `choices` or null."""
        return None if self.is_null(key) else self.choice(key, choices)

    def _typed(self, key: str, kind: type, words: str) -> Any:
        value = self.any(key)
        if not isinstance(value, kind):
            raise ArtifactError(f"{self._where}: {key!r} is not {words}.")
        return value
