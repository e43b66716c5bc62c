"""What LiteRT does with each node of a model."""

from __future__ import annotations

from ...ir.model import Model
from ..contract import OperatorSupport
from .lower import survey


def supports(model: Model) -> list[OperatorSupport]:
    """One entry a node: the arithmetic that its kernel runs in, or "no" with the reason.

    The lowering itself is asked, so that the answer is what `lower` does. A node that the kernel before it takes along (an
    activation, a QuantizeLinear) says so in its reason.
    """
    return survey(model)
