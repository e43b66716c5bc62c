"""The training form of a model: its batch is free, and no shape is computed."""

from __future__ import annotations

from ...ir.model import Model
from ...ir.rewrites.widen import WidenWeights
from ...ir.verify import verify
from .free_batch import free_batch, is_free
from .settle import settle
from .sizes import at_batch
from .views import as_reshapes


def training_form(model: Model) -> Model:
    """`model` (canonical, as `ingest` gives it) as training passes take and return it.

    Weights are float32, batch norm is whole, the first axis of inputs is free, and every Reshape has a constant target with at
    most one -1, so that shapes need no nodes (`settle` names the one exception). Raises ModelError, in one sentence, when an
    axis other than the first is free, or when the batch is fixed in a way that cannot be undone.
    """
    wide = WidenWeights().run(model).model
    plain = as_reshapes(wide, [at_batch(wide, size) for size in ((2, 3) if is_free(wide) else (1,))])
    result = settle(free_batch(plain))
    verify(result)
    return result
