"""Pruned models beside masked ones: the same numbers, in every runtime that runs the model unpruned.

`python -m benchmarks.pruned_equals_masked [NAME ...]` prints a table. Each architecture is ingested with plausible random
weights (MiniLM, ResNet-8 and the keyword spotter with their own), and loses random units of every group, the same share of
each, until 30, 50 and 70 % of its multiply-accumulates are gone. `skipped` is the share of prunable parameters (those of
layers, embedding tables left out) of which no axis is in a group. Differences are to the masked model in ONNX Runtime, as
shares of its largest output.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import onnxruntime
import torch
from edgewright.core.errors import EdgewrightError
from edgewright.device_profiles.loader import load
from edgewright.ir.model import Model
from edgewright.ir.statistics import macs, statistics
from edgewright.ir.verify import verify
from edgewright.optimizer.ingest.ingest import Ingested, ingest
from edgewright.optimizer.prepare import prepare_model
from edgewright.optimizer.prune.groups import find_groups
from edgewright.optimizer.prune.mask import mask
from edgewright.optimizer.prune.places import Group, Groups
from edgewright.optimizer.prune.remove import remove
from edgewright.optimizer.train.form import training_form
from edgewright.runtimes import registry
from numpy.typing import NDArray
from torch import nn

from benchmarks import zoo
from benchmarks.interpreter import SUBJECTS, Subject

_AMOUNTS = (0.3, 0.5, 0.7)
_TOLERANCE, _MOST_SKIPPED = 1e-4, 0.1
_IMAGES = 2
_STEPS, _RANGE = 5, 0.2
_PROFILE = load("x86-64-avx2")
_OF_TORCH = frozenset(
    {"resnet18", "resnet50", "mobilenet_v2", "mobilenet_v3_small", "efficientnet_b0", "densenet121", "googlenet"}
    | {"shufflenet_v2_x1_0", "squeezenet1_1", "convnext_tiny", "vit_b_16", "minilm", "lstm", "gru"}
)
_OF_ZOO = ("resnet8", "kws")

Keep = Mapping[str, Sequence[int]]
Inputs = Mapping[str, NDArray[np.generic]]


@dataclass(frozen=True)
class Network:
    """An ingested model, and samples for it."""

    ingested: Ingested
    inputs: Inputs


def _of_torch(subject: Subject) -> Network:
    net = subject.make()
    _make_plausible(net, subject)
    samples = {"x": subject.samples(_IMAGES).numpy()}
    return Network(ingest(net, samples=samples), samples)


def _make_plausible(net: nn.Module, subject: Subject) -> None:
    """Statistics of samples, so that activations have the spread of a trained model's, and no weights that are alike."""
    generator = torch.Generator().manual_seed(1)
    for part in net.modules():
        if isinstance(part, (nn.modules.batchnorm._BatchNorm, nn.LayerNorm)):
            part.weight.data.uniform_(0.8, 1.2, generator=generator)
            part.bias.data.normal_(0, 0.1, generator=generator)
            part.momentum = None
        if isinstance(part, nn.Linear) and not part.weight.any():
            part.weight.data.normal_(0, 0.02, generator=generator)
    with torch.no_grad():
        net.train()(subject.samples(8))
    net.eval()


def _of_zoo(name: str) -> Network:
    entry = zoo.ENTRIES[name]()
    x = entry.data["x"][:_IMAGES]
    found = ingest(entry.model, samples=None, shapes=None)
    return Network(found, {found.model.inputs[0].name: x})


NETWORKS: Mapping[str, Callable[[], Network]] = {
    **{subject.name: partial(_of_torch, subject) for subject in SUBJECTS if subject.name in _OF_TORCH},
    **{name: partial(_of_zoo, name) for name in _OF_ZOO},
}


def chosen(groups: Groups, share: float, rng: np.random.Generator) -> Keep:
    """Random units to keep: this share of every group, as many in each partition, and at least one."""
    return {group.name: _chosen(group, share, rng) for group in groups.groups}


def _chosen(group: Group, share: float, rng: np.random.Generator) -> list[int]:
    partitions = np.zeros(group.units, np.int64) if group.partitions is None else group.partitions
    kept: list[int] = []
    for part in np.unique(partitions):
        units = np.flatnonzero(partitions == part)
        kept += rng.choice(units, max(1, round(share * len(units))), replace=False).tolist()
    return sorted(kept)


def pruned_by(model: Model, groups: Groups, amount: float) -> tuple[Keep, Model]:
    """What is kept, and the model, when at least `amount` of the multiply-accumulates is gone, and little more."""
    # Most of the work grows with the square of the width, some with the width.
    low, high = 0.0, min(1.0, (1 - amount) ** 0.5 + _RANGE)
    whole = macs(model) or 1
    best: tuple[Keep, Model] | None = None
    for _ in range(_STEPS):
        share = (low + high) / 2
        keep = chosen(groups, share, np.random.default_rng(0))
        found = remove(model, keep)
        if (macs(found) or 0) <= (1 - amount) * whole:
            low, best = share, (keep, found)
        else:
            high = share
    if best is None:
        sys.exit(f"{amount:.0%} of the multiply-accumulates cannot go")
    return best


def skipped_share(model: Model, groups: Groups) -> float:
    """Share of the parameters of layers (not of tables that are looked up) with no axis in a group."""
    touched = {place.tensor for group in groups.groups for place in group.weights}
    tables = {str(node.inputs[0].name) for node in model.graph if node.op_type == "Gather" and node.inputs[0] is not None}
    layers = {
        str(value.name): value.const_value.size
        for node in model.graph
        if node.op_type in ("Conv", "ConvTranspose", "Gemm", "MatMul", "LSTM", "GRU", "RNN")
        for value in node.inputs
        if value is not None and value.const_value is not None and len(value.const_value.shape) > 1 and value.name not in tables
    }
    return sum(size for name, size in layers.items() if name not in touched) / sum(layers.values())


def answers(model: Model, inputs: Inputs) -> NDArray[np.float64]:
    """First output of ONNX Runtime, one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.to_bytes(), options, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, dict(inputs))[0], np.float64)


def answers_of(runtime: str, base: Model, inputs: Inputs) -> NDArray[np.float64] | None:
    """First output of the lowered file, sample by sample, or None where the runtime cannot run it."""
    found = registry.get(runtime)
    try:
        lowered = found.lower(base, _PROFILE)
        executor = found.load(lowered.files, lowered.entry, 1)
    except EdgewrightError as error:
        print(f"  {runtime}: {error}", file=sys.stderr)
        return None
    try:
        rows = [executor.run({name: array[place : place + 1] for name, array in inputs.items()}) for place in range(_IMAGES)]
    finally:
        executor.close()
    return np.concatenate([np.asarray(next(iter(row.values())), np.float64) for row in rows])


def report(name: str, network: Network) -> bool:
    """Print the lines of one architecture; whether all holds."""
    model = training_form(network.ingested.model)
    groups = find_groups(model)
    inputs = {spec.name: array for spec, array in zip(model.inputs, network.inputs.values(), strict=True)}
    share = skipped_share(model, groups)
    print(
        f"{name:19} {statistics(model).parameters / 1e6:7.3f} M {len(groups.groups):4} groups, {share:6.1%} skipped", flush=True
    )
    base, _ = prepare_model(network.ingested)
    runs = [runtime for runtime in registry.NAMES if answers_of(runtime, base, inputs) is not None]
    good = share <= _MOST_SKIPPED
    for amount in _AMOUNTS:
        keep, pruned = pruned_by(model, groups, amount)
        verify(pruned)
        expected = answers(mask(model, keep), inputs)
        base, _ = prepare_model(replace(network.ingested, model=pruned))
        found = {"as it is": answers(pruned, inputs), **{runtime: answers_of(runtime, base, inputs) for runtime in runs}}
        differences = {runtime: _difference(array, expected) for runtime, array in found.items()}
        good &= all(value <= _TOLERANCE for value in differences.values())
        left = (macs(pruned) or 0) / (macs(model) or 1)
        size = statistics(pruned).parameters / statistics(model).parameters
        text = ", ".join(f"{runtime} {value:.1e}" for runtime, value in differences.items())
        print(f"  -{amount:.0%}: MACs {left:.3f}, parameters {size:.3f}; {text}", flush=True)
    return good


def _difference(found: NDArray[np.float64] | None, expected: NDArray[np.float64]) -> float:
    """Largest difference as a share of the largest number; infinite where there is nothing."""
    return float("inf") if found is None else float(np.abs(found - expected).max() / np.abs(expected).max())


def main() -> int:
    """Print the table; 1 when something differs by more than 1e-4, does not run, or is skipped."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", choices=[*NETWORKS, []], help="architectures; all by default")
    given = parser.parse_args()
    torch.set_num_threads(1)
    bad = [name for name in given.names or NETWORKS if not report(name, NETWORKS[name]())]
    print(f"outside {_TOLERANCE} or {_MOST_SKIPPED:.0%}: {', '.join(bad) or 'none'}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
