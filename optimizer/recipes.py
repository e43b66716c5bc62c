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
        "prune{amount=0.25},distill{epochs=10},fold-bn,quantize",
        "a quarter of the multiply-adds less: where the gate leaves little room",
    ),
    "small": NamedRecipe(
        "prune{amount=0.5},distill{epochs=30},fold-bn,quantize",
        "half of the multiply-adds less, distilled, in int8: several times smaller at nearly the same accuracy",
    ),
    "fast": NamedRecipe(
        "prune{amount=0.6},distill{epochs=30},fold-bn,quantize",
        "channels removed where they cost most time on the device",
    ),
    "tiny": NamedRecipe(
        "prune{amount=0.8},distill{epochs=60},fold-bn,quantize{mode=qat}",
        "most channels removed, trained with the rounding of int8: for microcontrollers",
    ),
}
