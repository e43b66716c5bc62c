"""What a device is called by: the names and values of its attributes, as devices tell them and operators set them."""

from __future__ import annotations

import re
from functools import lru_cache

from ...core.errors import UsageError

MAX_VALUE = 200  # characters
KEYWORDS = frozenset({"and", "or", "not", "in", "has"})  # of queries, in any case; no attribute is called so
# Of these a server forms the value itself; nobody else gives them one.
COMPUTED = frozenset({"device", "enrolled", "group", "revoked", "seen_s"})
MODEL_PREFIX = "model."  # before the name of a model that runs

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,119}")


@lru_cache(maxsize=4096)
def is_attribute_name(name: str) -> bool:
    """Whether a query can ask for an attribute of that name."""
    return _NAME.fullmatch(name) is not None and name.lower() not in KEYWORDS


def is_attribute_value(value: str) -> bool:
    """Whether an attribute can have that value: 1 to MAX_VALUE characters that can be printed."""
    return 0 < len(value) <= MAX_VALUE and value.isprintable()


def check_attribute(name: str, value: str) -> None:
    """Raise UsageError unless an operator, or who starts an agent, may give a device this attribute."""
    if not is_attribute_name(name):
        raise UsageError(
            f"{name[:100]!r} is no name of an attribute; begin with a letter, go on with letters, digits, '_', '.' and '-', "
            f"and take none of {', '.join(sorted(KEYWORDS))}."
        )
    if name in COMPUTED or name.startswith(MODEL_PREFIX):
        raise UsageError(f"the attribute {name!r} is formed by the server itself; choose another name.")
    if not is_attribute_value(value):
        raise UsageError(f"the attribute {name!r} needs a value of 1 to {MAX_VALUE} characters that can be printed.")
