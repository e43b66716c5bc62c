"""The interpreter beside the modules that it interprets: answers, gradients, time of an epoch, memory.

`python -m benchmarks.interpreter [NAME ...]` prints a table. Every network is ingested with random weights (MiniLM with its
own) and trained for a few batches of random samples, the source module and the interpreter in turn; the time is the ratio of
the medians over the turns. Dropout and stochastic depth are off in both: the graph of a trained model has none.
"""

from __future__ import annotations

import argparse
import copy
import gc
import hashlib
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from edgewright.ir.model import Model
from edgewright.optimizer.ingest.ingest import ingest
from edgewright.optimizer.train.form import training_form
from edgewright.optimizer.train.module import GraphModule
from torch import nn

from benchmarks.sequences import gru_classifier, lstm_classifier, minilm
from benchmarks.zoo import torchvision_models

_FORWARD, _GRADIENT, _TIME = 1e-4, 1e-3, 1.3


@dataclass(frozen=True)
class Subject:
    """A network, the shape of one sample of its input, and how many samples a batch has."""

    name: str
    make: Callable[[], nn.Module]
    shape: tuple[int, ...]
    batch: int = 8
    # Token ids below this number, or None for normally distributed numbers.
    vocabulary: int | None = None

    def samples(self, count: int) -> torch.Tensor:
        """Random samples [count, ...]."""
        generator = torch.Generator().manual_seed(count)
        if self.vocabulary is not None:
            return torch.randint(1, self.vocabulary, (count, *self.shape), generator=generator)
        return torch.randn(count, *self.shape, generator=generator)


def _vision(name: str, size: int = 64, batch: int = 8, **options: Any) -> Subject:
    def make() -> nn.Module:
        torch.manual_seed(0)
        return _without_luck(getattr(torchvision_models(), name)(weights=None, num_classes=100, **options))

    return Subject(name, make, (3, size, size), batch)


def _without_luck(net: nn.Module) -> nn.Module:
    for part in net.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0
        if isinstance(part, nn.MultiheadAttention):
            part.dropout = 0.0
        if type(part).__name__ == "StochasticDepth":
            part.p = 0.0
        if type(part).__name__ == "ShiftedWindowAttention":
            part.attention_dropout = part.dropout = 0.0
    return net


SUBJECTS: Sequence[Subject] = (
    _vision("resnet18"),
    _vision("resnet50"),
    _vision("mobilenet_v2"),
    _vision("mobilenet_v3_small"),
    _vision("efficientnet_b0"),
    _vision("densenet121"),
    _vision("googlenet", aux_logits=False, init_weights=True),
    _vision("shufflenet_v2_x1_0"),
    _vision("squeezenet1_1"),
    _vision("convnext_tiny"),
    _vision("vit_b_16", image_size=64),
    _vision("mnasnet1_0"),
    _vision("regnet_y_400mf"),
    _vision("alexnet", 224),
    _vision("vgg11_bn", 224, 2),
    _vision("swin_t"),
    Subject("minilm", minilm, (64,), 8, vocabulary=30_000),
    Subject("lstm", lstm_classifier, (50, 24), 32),
    Subject("gru", gru_classifier, (50, 24), 32),
)


@dataclass(frozen=True)
class Measured:
    """Largest differences relative to the largest value, and ratios of the interpreter to the source."""

    forward: float
    gradient_frozen: float
    gradient: float
    time: float
    milliseconds: float
    memory: float


def measure(subject: Subject, turns: int, steps: int, cache: Path | None) -> Measured:
    net = subject.make()
    _give_statistics(net, subject)
    model = training_form(_ingested(subject, net, cache))
    module = GraphModule(model)
    (name,) = (spec.name for spec in model.inputs)
    x = subject.samples(subject.batch)
    net.eval()
    module.eval()
    with torch.no_grad():
        expected, got = net(x), _only(module({name: x}))
    forward = float((expected - got).abs().max() / expected.abs().max())
    frozen = _gradients_differ(copy.deepcopy(net), copy.deepcopy(module), name, x)
    trained = _gradients_differ(copy.deepcopy(net).train(), copy.deepcopy(module).train(), name, x)
    ratio, seconds = _race(net.train(), module.train(), name, subject, turns, steps)
    memory = _peak(lambda: _epoch(lambda b: _only(module({name: b})), module, subject, 1))
    memory /= _peak(lambda: _epoch(net, net, subject, 1))
    return Measured(forward, frozen, trained, ratio, seconds * 1000 / steps, memory)


def _ingested(subject: Subject, net: nn.Module, cache: Path | None) -> Model:
    """The graph of `net`, from `cache` where the same weights have been ingested before."""
    file = None
    if cache is not None:
        digest = hashlib.sha256(b"".join(value.numpy().tobytes() for value in net.state_dict().values())).hexdigest()
        file = cache / f"{subject.name}-{digest[:16]}.onnx"
        if file.exists():
            return Model.load(file)
    model = ingest(net, shapes={"x": (1, *subject.shape)}, samples=_example(subject)).model
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(model.to_bytes())
    return model


def _give_statistics(net: nn.Module, subject: Subject) -> None:
    """Statistics of samples, so that activations have the spread of a trained model's, and no two weights alike."""
    _tell_apart(net)
    net.train()
    with torch.no_grad():
        for _ in range(20):
            net(subject.samples(16))
    net.eval()


def _tell_apart(net: nn.Module) -> None:
    """Weights that begin as zeros or ones get numbers of their own, by which they are found again in the graph."""
    generator = torch.Generator().manual_seed(1)
    for parameter in net.parameters():
        if parameter.numel() > 1 and bool((parameter == parameter.flatten()[0]).all()):
            noise = torch.rand(parameter.shape, generator=generator)
            parameter.data.add_(0.2 * noise - 0.1)


def _example(subject: Subject) -> dict[str, np.ndarray] | None:
    return None if subject.vocabulary is None else {"x": subject.samples(2).numpy()}


def _only(outputs: Mapping[str, Any]) -> Any:
    (value,) = outputs.values()
    return value


def _loss(outputs: Any) -> Any:
    labels = torch.arange(len(outputs)) % outputs.shape[1]
    return nn.functional.cross_entropy(outputs, labels)


def _gradients_differ(net: nn.Module, module: GraphModule, name: str, x: torch.Tensor) -> float:
    """Largest relative difference of a weight's gradient, each weight found again by its numbers; NaN where one is missing."""
    _loss(net(x)).backward()
    _loss(_only(module({name: x}))).backward()
    pairs = _weights(net)
    floor = 1e-4 * max(float(gradient.norm()) for _, gradient in pairs)
    worst = 0.0
    for key, parameter in module.trainable().items():
        same = next((value for weight, value in pairs if _is_same(weight, parameter)), None)
        found = (parameter.grad, same) if same is not None else _rows(pairs, parameter, parameter.grad)
        if found is None:
            print(f"  the source has no weight as {key} {list(parameter.shape)}", file=sys.stderr)
            return float("nan")
        ours, theirs = (value.squeeze() for value in found)
        worst = max(worst, float((ours - theirs).norm()) / max(float(theirs.norm()), floor))
    return worst


def _is_same(theirs: torch.Tensor, ours: torch.Tensor) -> bool:
    return theirs.squeeze().shape == ours.squeeze().shape and torch.equal(theirs.squeeze(), ours.squeeze())


def _rows(
    pairs: list[tuple[torch.Tensor, torch.Tensor]], ours: torch.Tensor, gradient: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Gradients here and in the source of a table of places or kinds, of which a graph holds only the rows that it reads."""
    rows, gradients = (value.detach().reshape(-1, ours.shape[-1]) for value in (ours, gradient))
    for theirs, expected in pairs:
        if theirs.dim() != 2 or theirs.shape[1] != rows.shape[1]:
            continue
        if torch.equal(theirs[: len(rows)], rows):
            return gradients, expected[: len(rows)]
        # One row that is read at every place.
        if bool((rows == theirs[0]).all()):
            return gradients.sum(0), expected[0]
    return None


def _weights(net: nn.Module) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Weights and their gradients in every way in which a graph may hold them: as they are, turned, or as ONNX's layers do."""
    pairs = [(value.detach(), value.grad) for value in net.parameters() if value.grad is not None]
    pairs += [(value.t(), gradient.t()) for value, gradient in pairs if value.dim() == 2]
    for part in net.modules():
        if isinstance(part, nn.RNNBase):
            pairs += [(_as_onnx(part, kind, False), _as_onnx(part, kind, True)) for kind in ("weight_ih", "weight_hh", "bias")]
    return pairs


def _as_onnx(part: nn.RNNBase, kind: str, is_gradient: bool) -> torch.Tensor:
    """Weights of one kind of all directions of a layer, with the gates in ONNX's order."""
    order = [0, 3, 1, 2] if isinstance(part, nn.LSTM) else [1, 0, 2]

    def read(name: str) -> torch.Tensor:
        value = getattr(part, name)
        gates = (value.grad if is_gradient else value.detach()).chunk(len(order))
        return torch.cat([gates[place] for place in order])

    ends = ["", "_reverse"] if part.bidirectional else [""]
    if kind != "bias":
        return torch.stack([read(f"{kind}_l0{end}") for end in ends])
    return torch.stack([torch.cat([read(f"bias_ih_l0{end}"), read(f"bias_hh_l0{end}")]) for end in ends])


def _epoch(run: Callable[[Any], Any], module: nn.Module, subject: Subject, steps: int) -> None:
    optimizer = torch.optim.SGD(module.parameters(), 1e-5)
    x = subject.samples(subject.batch)
    for _ in range(steps):
        optimizer.zero_grad()
        _loss(run(x)).backward()
        optimizer.step()


def _race(net: nn.Module, module: GraphModule, name: str, subject: Subject, turns: int, steps: int) -> tuple[float, float]:
    """Ratio of the medians of an epoch's processor time, in turn, and the source's median in seconds."""
    runs: list[tuple[Callable[[Any], Any], nn.Module]] = [(net, net), (lambda x: _only(module({name: x})), module)]
    times: list[list[float]] = [[], []]
    for turn in range(-1, turns):
        for place, (run, owner) in enumerate(runs):
            gc.collect()
            start = time.perf_counter() if torch.get_num_threads() > 1 else time.process_time()
            _epoch(run, owner, subject, steps)
            end = time.perf_counter() if torch.get_num_threads() > 1 else time.process_time()
            if turn >= 0:
                times[place].append(end - start)
    theirs, ours = (statistics.median(found) for found in times)
    return ours / theirs, theirs


def _peak(work: Callable[[], None]) -> float:
    """Bytes that a child process, forked here, needs at its peak for `work`, beyond what it began with."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        work()
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        os.write(writer, str(grown).encode())
        os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with os.fdopen(reader) as pipe:
        return float(pipe.read() or "nan")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="networks to measure; all by default")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--cache", type=Path, help="folder to keep ingested models in")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    print(f"{'network':20} {'forward':>9} {'gradient':>9} {'training':>9} {'ms/step':>8} {'time':>6} {'memory':>7}")
    missed = []
    for subject in SUBJECTS:
        if given.names and subject.name not in given.names:
            continue
        found = measure(subject, given.turns, given.steps, given.cache)
        print(
            f"{subject.name:20} {found.forward:9.1e} {found.gradient_frozen:9.1e} {found.gradient:9.1e} "
            f"{found.milliseconds:8.0f} {found.time:6.2f} {found.memory:7.2f}",
            flush=True,
        )
        is_exact = found.forward <= _FORWARD and max(found.gradient_frozen, found.gradient) <= _GRADIENT
        if not is_exact or found.time > _TIME:
            missed.append(subject.name)
    print(f"outside {_FORWARD}, {_GRADIENT}, {_TIME}: {', '.join(missed) or 'none'}")


if __name__ == "__main__":
    main()
