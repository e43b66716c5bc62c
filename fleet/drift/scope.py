"""Where something drifts: everywhere, in the devices of one attribute, or in one device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ...core.errors import UsageError

ScopeKind = Literal["fleet", "attribute", "device"]


@dataclass(frozen=True)
class Scope:
    """`fleet`, `attribute NAME = VALUE` or `device NAME`: `name` is the attribute's or device's, `value` the attribute's."""

    kind: ScopeKind = "fleet"
    name: str = ""
    value: str = ""

    def __str__(self) -> str:
        if self.kind == "fleet":
            return "fleet"
        return f"device {self.name}" if self.kind == "device" else f"attribute {self.name} = {self.value}"

    @staticmethod
    def parse(text: str) -> Scope:
        """Inverse of `str`; raises UsageError for anything else."""
        if text == "fleet":
            return FLEET
        kind, _, rest = text.partition(" ")
        if kind == "device" and rest:
            return Scope("device", rest)
        name, found, value = rest.partition(" = ")
        if kind == "attribute" and name and found:
            return Scope("attribute", name, value)
        raise UsageError(f"{text[:200]!r} is no scope; write fleet, `device NAME` or `attribute NAME = VALUE`.")


FLEET = Scope()
