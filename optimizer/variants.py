"""Variants: the ways that a compile takes from the trained model to candidates.

The plain model is one; each recipe and each pipeline of the user's is another. What stands in a pipeline before `fold-bn` runs
on the training form, `quantize` after it says how int8 is made:

    prune{amount=0.5},distill{epochs=20},fold-bn,quantize{mode=qat}
    `------- on the training form ------'        `- each runtime's -'

A Keras step is one more: what TFMOT makes of the model's file, judged beside the compiler's own ways.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ..core.errors import PassError, UsageError
from ..ir.passes import Pass
from ..ir.pipeline import Pipeline, pass_text
from ..ir.rewrites.fold_bn import FoldBatchNorm
from .ingest.keras_step import PHASES, TfmotStep, parse_keras_step
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
    """One way. `name` is "" for the plain model; `passes` come before `fold-bn`; `quantize` None lets the compiler choose.

    `keras_step` takes the place of all of that.
    """

    name: str = ""
    passes: tuple[Pass, ...] = ()
    quantize: Quantize | None = None
    keras_step: TfmotStep | None = None

    @property
    def text(self) -> str:
        """The pipeline's text."""
        if self.keras_step is not None:
            return str(self.keras_step)
        return str(Pipeline([*self.passes, FoldBatchNorm(), *([] if self.quantize is None else [self.quantize])]))

    @property
    def trains_scheme(self) -> bool:
        """Whether int8 is trained, once for each scheme."""
        return self.quantize is not None and self.quantize.mode == "qat"

    @property
    def is_quantized(self) -> bool:
        """Whether its model is in int8 from the start."""
        return self.keras_step is not None and "quantize" in PHASES[self.keras_step.kind]

    @property
    def trains(self) -> bool:
        """Whether anything in it trains."""
        return self.keras_step is not None or self.trains_here

    @property
    def trains_here(self) -> bool:
        """Whether the compiler itself trains anything in it."""
        return self.trains_scheme or any(item.needs is TrainingNeeds for item in self.passes)


def variants_of(recipe: Recipe) -> tuple[Variant, ...]:
    """The plain model, the recipe's named pipelines and its own; raises PassError, UsageError."""
    texts = [(name, RECIPES[name].text) for name in dict.fromkeys(recipe.recipes)]
    texts += _named(recipe.pipelines, "pipeline")
    stepped = _named(recipe.keras_steps, "keras-step")
    names = [name for name, _ in (*texts, *stepped)]
    for name in names:
        if name == _PLAIN:
            raise UsageError(f"the name {name!r} is the model's own, without a pipeline; name the pipeline otherwise.")
        if names.count(name) > 1:
            raise UsageError(f"two pipelines are named {name!r}; name one of them otherwise, as 'other: TEXT'.")
        if len(name) > _LONGEST_NAME:
            raise UsageError(f"the pipeline's name {name[:60]!r} is too long; use at most {_LONGEST_NAME} characters.")
    steps = [(name, parse_keras_step(text)) for name, text in stepped]
    return (
        Variant(),
        *(_variant(name, text) for name, text in texts),
        *(Variant(name, keras_step=step) for name, step in steps),
    )


def _named(given: Sequence[str], otherwise: str) -> list[tuple[str, str]]:
    """Names and texts of what may be written as `name: TEXT`."""
    found = []
    for number, item in enumerate(given, 1):
        match = _NAMED.fullmatch(item)
        found.append((match["name"], match["text"]) if match else (f"{otherwise}-{number}", item))
    return found


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
