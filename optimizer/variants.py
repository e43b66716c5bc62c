"""Variants: the ways that a compile takes from the trained model to candidates.

The plain model is one; each recipe and each pipeline of the user's is another. What stands in a pipeline before `fold-bn` runs
on the training form, `quantize` after it says how int8 is made:

    prune{amount=0.5},distill{epochs=20},fold-bn,quantize{mode=qat}
    `------- on the training form ------'        `- each runtime's -'
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ..core.errors import PassError, UsageError
from ..ir.passes import Pass
from ..ir.pipeline import Pipeline, pass_text
from ..ir.rewrites.fold_bn import FoldBatchNorm
from .passes.registry import parse
from .quantize.quantize import Quantize
from .recipe import Recipe
from .recipes import RECIPES
from .train.needs import TrainingNeeds

_NAMED = re.compile(r"\s*(?P<name>[a-z][a-z0-9-]*)\s*:(?P<text>.*)", re.DOTALL)
_LONGEST_NAME = 14
_PLAIN = "plain"


@dataclass(frozen=True)
class Variant:
    """One way. `name` is "" for the plain model; `passes` come before `fold-bn`; `quantize` None lets the compiler choose."""

    name: str = ""
    passes: tuple[Pass, ...] = ()
    quantize: Quantize | None = None

    @property
    def text(self) -> str:
        """The pipeline's text."""
        return str(Pipeline([*self.passes, FoldBatchNorm(), *([] if self.quantize is None else [self.quantize])]))

    @property
    def trains_scheme(self) -> bool:
        """Whether int8 is trained, once for each scheme."""
        return self.quantize is not None and self.quantize.mode == "qat"

    @property
    def trains(self) -> bool:
        """Whether anything in it trains."""
        return self.trains_scheme or any(item.needs is TrainingNeeds for item in self.passes)


def variants_of(recipe: Recipe) -> tuple[Variant, ...]:
    """The plain model, the recipe's named pipelines and its own; raises PassError, UsageError."""
    texts = [(name, RECIPES[name].text) for name in dict.fromkeys(recipe.recipes)]
    for number, given in enumerate(recipe.pipelines, 1):
        match = _NAMED.fullmatch(given)
        texts.append((match["name"], match["text"]) if match else (f"pipeline-{number}", given))
    names = [name for name, _ in texts]
    for name in names:
        if name == _PLAIN:
            raise UsageError(f"the name {name!r} is the model's own, without a pipeline; name the pipeline otherwise.")
        if names.count(name) > 1:
            raise UsageError(f"two pipelines are named {name!r}; name one of them otherwise, as 'other: TEXT'.")
        if len(name) > _LONGEST_NAME:
            raise UsageError(f"the pipeline's name {name[:60]!r} is too long; use at most {_LONGEST_NAME} characters.")
    return (Variant(), *(_variant(name, text) for name, text in texts))


def _variant(name: str, text: str) -> Variant:
    passes = list(parse(text).passes)
    if not passes:
        raise PassError(f"the pipeline {name!r} is empty; write for example prune{{amount=0.5}},distill,fold-bn,quantize.")
    folds = [place for place, item in enumerate(passes) if isinstance(item, FoldBatchNorm)]
    if len(folds) > 1:
        raise PassError(f"the pipeline {name!r} has fold-bn twice; leave one out.")
    if not folds:
        tail = next((place for place, item in enumerate(passes) if isinstance(item, Quantize)), len(passes))
        passes.insert(tail, FoldBatchNorm())
        folds = [tail]
    before, after = passes[: folds[0]], passes[folds[0] + 1 :]
    for item in before:
        if isinstance(item, Quantize):
            raise PassError(f"the pipeline {name!r} has {pass_text(item)!r} before fold-bn; it must be the last.")
        if item.needs not in (None, TrainingNeeds):
            raise PassError(
                f"the pipeline {name!r}: {pass_text(item)!r} needs what compile cannot give before fold-bn; leave it out."
            )
    return Variant(name, tuple(before), _quantize(name, after))


def _quantize(name: str, after: Sequence[Pass]) -> Quantize | None:
    """The one pass that may stand after `fold-bn`."""
    for item in after:
        if not isinstance(item, Quantize):
            raise PassError(
                f"the pipeline {name!r} has {pass_text(item)!r} after fold-bn, where only quantize may stand; put it before."
            )
    if len(after) > 1:
        raise PassError(f"the pipeline {name!r} quantizes twice; leave one of them out.")
    return next((item for item in after if isinstance(item, Quantize)), None)
