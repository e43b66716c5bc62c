"""What is to be saved, and how it is counted on a model that was really pruned."""

from __future__ import annotations

from typing import Literal

from ...core.errors import PassError
from ...ir.model import Model
from ...ir.statistics import macs, statistics

Of = Literal["macs", "parameters", "size", "latency"]
NAMES: dict[Of, str] = {
    "macs": "multiply-accumulates",
    "parameters": "parameters",
    "size": "bytes of weights",
    "latency": "time of all layers",
}


def counted(model: Model, of: Of) -> float:
    """Multiply-accumulates, parameters or bytes of weights of `model`; raises PassError where a size is free."""
    if of == "macs":
        found = macs(model)
        if found is None:
            raise PassError(
                "prune: the multiply-accumulates of this model are not known, since sizes beside the batch are free; fix them "
                "with --shape, or use of=parameters."
            )
        return found
    figures = statistics(model)
    return figures.parameters if of == "parameters" else figures.weight_bytes
