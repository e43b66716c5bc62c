"""What is done to a model after a removal: least squares, batch norms, a short training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ...ir.model import Model
from ..train.needs import TrainingNeeds
from .places import Group

_BATCHES, _BATCH = 100, 64


def repaired(
    after: Model,
    before: Model,
    groups: Sequence[Group],
    keep: Mapping[str, tuple[int, ...]],
    is_reconstructed: bool,
    needs: TrainingNeeds,
) -> Model:
    """`after` with the layers that read what is left fitted anew where asked for, then its batch norms' statistics."""
    from .reconstruct import reconstruct

    return recalibrated(reconstruct(after, before, groups, keep, needs) if is_reconstructed else after, needs)


def recalibrated(model: Model, needs: TrainingNeeds) -> Model:
    """`model` with the statistics of its batch norms taken anew over at most 100 batches of 64 samples."""
    if not any(node.op_type == "BatchNormalization" for node in model.graph):
        return model
    from ..train.batch_norm import recalibrate
    from ..train.batches import Order, opened, shuffled
    from ..train.device import best_device, settled
    from ..train.module import GraphModule

    device = best_device()
    with settled(device, needs.threads):
        data = opened(needs.train, needs.progress)
        module = GraphModule(model).eval().to(device)
        order = Order(len(data), _BATCH, needs.seed)
        steps = range(min(_BATCHES, order.steps_per_epoch))
        recalibrate(module, (batch.inputs for batch in shuffled(data, order, steps, needs.seed, None, device)))
        made: Model = module.cpu().to_model()
        return made


def between(model: Model, epochs: int, batch: int, lr: float | None, needs: TrainingNeeds) -> tuple[Model, tuple[str, ...]]:
    """`model` after a short training between two removals: distilled from the reference, with labels where there are any."""
    from ..distill.distill import Distill

    result = Distill(epochs=epochs, batch=batch, lr=lr).run(model, replace(needs, student=None))
    return result.model, result.notes
