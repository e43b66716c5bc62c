"""Which devices are meant, in words: `site = "lab" and (profile = raspberry-pi-4b or arch != x86_64) and not group = beta`.

    query  := "" | any                            the empty query means every device
    any    := all ("or" all)*
    all    := one ("and" one)*
    one    := "not" one | "(" any ")" | "has" NAME | NAME OP VALUE | NAME ["not"] "in" "(" VALUE ("," VALUE)* ")"
    OP     := "=" | "!=" | "<" | "<=" | ">" | ">="
    VALUE  := a word of letters, digits and _ . : + / @ -, or text in double quotes, with \\" and \\\\ in it

Two values that are numbers compare as numbers, others as text. An attribute that is no number is neither below nor above one.
One that is missing is unequal to everything. One with several values (`group`) equals what one of them equals.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from ...core.errors import UsageError
from ..protocol.attribute import KEYWORDS, is_attribute_name

MAX_LENGTH = 2000  # characters
MAX_DEPTH = 32  # of parentheses and "not" in one another

Values = str | tuple[str, ...]

_TOKEN = re.compile(
    r"""\s*(?:(?P<word>[\w.:+/@-]+)|(?P<text>"(?:[^"\\]|\\["\\])*")|(?P<sign><=|>=|!=|==|[=<>(),]))""", re.ASCII
)
_WORD = re.compile(r"[\w.:+/@-]+", re.ASCII)
_NUMBER = re.compile(r"[+-]?[0-9]{1,40}(?:\.[0-9]{1,40})?")
_ORDER: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True)
class Has:
    """The attribute is there."""

    name: str

    def __str__(self) -> str:
        return f"has {self.name}"

    def matches(self, attributes: Mapping[str, Values]) -> bool:
        """Whether it holds."""
        return self.name in attributes


@dataclass(frozen=True)
class Compare:
    """The attribute stands to `value` as `sign` says."""

    name: str
    sign: str
    value: str

    def __str__(self) -> str:
        return f"{self.name} {self.sign} {_quoted(self.value)}"

    def matches(self, attributes: Mapping[str, Values]) -> bool:
        """Whether it holds."""
        there = _values(attributes, self.name)
        if self.sign == "!=":
            return not any(_equal(item, self.value) for item in there)
        if self.sign == "=":
            return any(_equal(item, self.value) for item in there)
        return any(_ordered(self.sign, item, self.value) for item in there)


@dataclass(frozen=True)
class In:
    """The attribute equals one of `values`."""

    name: str
    values: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.name} in ({', '.join(map(_quoted, self.values))})"

    def matches(self, attributes: Mapping[str, Values]) -> bool:
        """Whether it holds."""
        return any(_equal(item, value) for item in _values(attributes, self.name) for value in self.values)


@dataclass(frozen=True)
class Not:
    """The part does not hold."""

    part: Node

    def __str__(self) -> str:
        return f"not {_grouped(self.part)}"

    def matches(self, attributes: Mapping[str, Values]) -> bool:
        """Whether it holds."""
        return not self.part.matches(attributes)


@dataclass(frozen=True)
class And:
    """All parts hold."""

    parts: tuple[Node, ...]

    def __str__(self) -> str:
        return " and ".join(map(_grouped, self.parts))

    def matches(self, attributes: Mapping[str, Values]) -> bool:
        """Whether it holds."""
        return all(part.matches(attributes) for part in self.parts)


@dataclass(frozen=True)
class Or:
    """One of the parts holds."""

    parts: tuple[Node, ...]

    def __str__(self) -> str:
        return " or ".join(map(_grouped, self.parts))

    def matches(self, attributes: Mapping[str, Values]) -> bool:
        """Whether it holds."""
        return any(part.matches(attributes) for part in self.parts)


Node = Has | Compare | In | Not | And | Or


@dataclass(frozen=True)
class Query:
    """A query that was read; without a `root` it means every device. Its text is read to an equal query again."""

    root: Node | None = None

    def __str__(self) -> str:
        return "" if self.root is None else str(self.root)

    def matches(self, attributes: Mapping[str, Values]) -> bool:
        """Whether a device with these attributes is meant."""
        return self.root is None or self.root.matches(attributes)

    def names(self) -> frozenset[str]:
        """The attributes that it asks for."""
        return frozenset() if self.root is None else _names(self.root)


def parse(text: str) -> Query:
    """The query in `text`; raises UsageError that tells the place, counted from 1, and what was expected there."""
    if len(text) > MAX_LENGTH:
        raise UsageError(f"the query has {len(text)} characters; it may have {MAX_LENGTH}: name the devices by a group.")
    reader = _Reader(text)
    if reader.is_done():
        return Query()
    root = reader.any_of(0)
    if not reader.is_done():
        raise reader.error("'and', 'or' or the end")
    return Query(root)


class _Reader:
    """Tokens from the front, one ahead."""

    def __init__(self, text: str) -> None:
        self._text, self._end = text, 0
        self.step()

    def is_done(self) -> bool:
        """Whether nothing is left."""
        return self._kind == "end"

    def step(self) -> None:
        """Go to the next token."""
        found = _TOKEN.match(self._text, self._end)
        if found is None:
            rest = self._text[self._end :]
            self._place = self._end + len(rest) - len(rest.lstrip())
            self._kind, self._token = ("end", "") if not rest.strip() else ("other", rest.lstrip()[:20])
            return
        self._kind = str(found.lastgroup)
        self._token, self._place, self._end = found[self._kind], found.start(self._kind), found.end()
        if self._kind == "word" and self._token.lower() in KEYWORDS:
            self._kind, self._token = "key", self._token.lower()

    def error(self, expected: str) -> UsageError:
        """What to raise where the token is none of those expected."""
        found = "the query ends" if self.is_done() else f"there is {self._token[:40]!r}"
        if self._token.startswith('"') and self._kind == "other":
            found = "a text begins that has no end"
        return UsageError(f"the query cannot be read at character {self._place + 1}: {found}, and {expected} was expected.")

    def any_of(self, depth: int) -> Node:
        """Parts with "or" between them."""
        parts = [self._all_of(depth)]
        while self._take("key", "or"):
            parts.append(self._all_of(depth))
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def _all_of(self, depth: int) -> Node:
        parts = [self._one(depth)]
        while self._take("key", "and"):
            parts.append(self._one(depth))
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def _one(self, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise UsageError(f"the query nests deeper than {MAX_DEPTH} at character {self._place + 1}; name a part by a group.")
        if self._take("key", "not"):
            return Not(self._one(depth + 1))
        if self._take("sign", "("):
            inner = self.any_of(depth + 1)
            self._need(")")
            return inner
        if self._take("key", "has"):
            return Has(self._name())
        name = self._name()
        if self._take("key", "not"):
            if not self._take("key", "in"):
                raise self.error("'in'")
            return Not(In(name, self._list()))
        if self._take("key", "in"):
            return In(name, self._list())
        sign = self._token if self._kind == "sign" else ""
        if sign not in ("=", "==", "!=", *_ORDER):
            raise self.error("one of = != < <= > >= in")
        self.step()
        return Compare(name, "=" if sign == "==" else sign, self._value())

    def _list(self) -> tuple[str, ...]:
        self._need("(")
        values = [self._value()]
        while self._take("sign", ","):
            values.append(self._value())
        self._need(")")
        return tuple(values)

    def _name(self) -> str:
        if self._kind != "word" or not is_attribute_name(self._token):
            raise self.error("the name of an attribute")
        name = self._token
        self.step()
        return name

    def _value(self) -> str:
        if self._kind == "word":
            value = self._token
        elif self._kind == "text":
            value = re.sub(r"\\(.)", r"\1", self._token[1:-1])
        else:
            raise self.error("a value (text with spaces and words of the query itself in double quotes)")
        self.step()
        return value

    def _take(self, kind: str, token: str) -> bool:
        if (self._kind, self._token) != (kind, token):
            return False
        self.step()
        return True

    def _need(self, sign: str) -> None:
        if not self._take("sign", sign):
            raise self.error(repr(sign))


def _quoted(value: str) -> str:
    if _WORD.fullmatch(value) and value.lower() not in KEYWORDS:
        return value
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _grouped(node: Node) -> str:
    return f"({node})" if isinstance(node, And | Or) else str(node)


def _names(node: Node) -> frozenset[str]:
    if isinstance(node, Not):
        return _names(node.part)
    if isinstance(node, And | Or):
        return frozenset().union(*map(_names, node.parts))
    return frozenset({node.name})


def _values(attributes: Mapping[str, Values], name: str) -> tuple[str, ...]:
    found = attributes.get(name, ())
    return (found,) if isinstance(found, str) else found


def _number(text: str) -> Decimal | None:
    """The number that a text is, exactly, or None."""
    return Decimal(text) if _NUMBER.fullmatch(text) else None


def _equal(one: str, two: str) -> bool:
    if one == two:
        return True
    number = _number(one)
    return number is not None and number == _number(two)


def _ordered(sign: str, there: str, value: str) -> bool:
    wanted, found = _number(value), _number(there)
    if wanted is None:
        return _ORDER[sign](there, value)
    return found is not None and _ORDER[sign](found, wanted)
