"""A request that is not served: the status of HTTP that says so, and one sentence."""

from __future__ import annotations

from ...core.errors import ProtocolError


class Refusal(ProtocolError):
    """A request that is malformed, too large, or asks for what is not there; `status` is of HTTP (RFC 9110, section 15)."""

    def __init__(self, status: int, sentence: str) -> None:
        """Hold the status beside the sentence."""
        super().__init__(sentence)
        self.status = status
