"""Every pass by its name, as pipelines' text forms use it."""

from __future__ import annotations

from typing import Any

from ...ir.pipeline import Pipeline
from ...ir.rewrites.canonicalize import Canonicalize
from ...ir.rewrites.fold_bn import FoldBatchNorm
from ...ir.rewrites.strip import Strip
from ...ir.rewrites.widen import WidenWeights
from ..distill.distill import Distill
from ..prune.prune import Prune
from ..quantize.quantize import Quantize
from ..sparsify.sparsify import Sparsify
from ..train.finetune import Finetune
from .float16 import StoreFloat16

PASSES: dict[str, type[Any]] = {
    kind.name: kind
    for kind in (Canonicalize, FoldBatchNorm, Strip, WidenWeights, Quantize, StoreFloat16, Finetune, Distill, Prune, Sparsify)
}


def parse(text: str) -> Pipeline:
    """Pipeline of its text; raises PassError."""
    return Pipeline.parse(text, PASSES)
