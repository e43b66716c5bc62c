"""Named recipes: pipelines that a person picks by name. Each is a text, printed in the run, to be copied and edited."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class NamedRecipe:
    """`text` is the pipeline, `about` says in one line what it is for."""

    text: str
    about: str


RECIPES: Mapping[str, NamedRecipe] = {
    "safe": NamedRecipe(
        "prune{amount=0.3,of=parameters},distill{epochs=20},fold-bn,quantize",
        "a third of the parameters less, where the gate leaves little room",
    ),
    "small": NamedRecipe(
        "prune{amount=0.7,of=parameters,allocation=global,align=1},distill{epochs=15},fold-bn,quantize",
        "most parameters removed, wherever they matter least, distilled, in int8",
    ),
    "tiny": NamedRecipe(
        "prune{amount=0.85,of=parameters,allocation=global,align=1},distill{epochs=15},"
        "fold-bn,quantize{epochs=4,mode=qat,bits=4,ends=4}",
        "fewer still, with weights of 4 bits that are trained with their rounding, for microcontrollers",
    ),
    "fast": NamedRecipe(
        "prune{amount=0.5},distill{epochs=40},fold-bn,quantize",
        "half of the multiply-adds less, removed where they cost most time on the device",
    ),
}
