"""A request that is not served: the status of HTTP that says so, and one sentence."""

from __future__ import annotations

from ...core.errors import ProtocolError


class Refusal(ProtocolError):
    """A request that is malformed, too large, or asks for what is not there; `status` is of HTTP (RFC 9110, section 15)."""

    def __init__(self, status: int, sentence: str) -> None:
        """Hold the status beside the sentence."""
        super().__init__(sentence)
        self.status = status


class Mismatch(Refusal):
    """A request in order that asks for other inputs or outputs than the model has: application and model do not fit."""

    def __init__(self, sentence: str) -> None:
        """A Refusal with 400."""
        super().__init__(400, sentence)
