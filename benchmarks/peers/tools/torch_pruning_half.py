"""Torch-Pruning: half of the multiply-accumulates by group magnitude, then two epochs on the labels, exported as float ONNX."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch_pruning
from torch import nn

from benchmarks.peers.child import run
from benchmarks.peers.task import Cannot, Task

_BATCH, _EPOCHS, _RATE, _STEPS, _SHARE = 64, 2, 1e-3, 20, 0.5


def _ends(net: nn.Module) -> list[nn.Module]:
    """The last layer with weights: its outputs are the answer."""
    return [[module for module in net.modules() if isinstance(module, (nn.Linear, nn.Conv2d))][-1]]


def _prune(net: nn.Module, example: torch.Tensor) -> None:
    pruner = torch_pruning.pruner.MagnitudePruner(
        net,
        example,
        importance=torch_pruning.importance.GroupMagnitudeImportance(p=2),
        iterative_steps=_STEPS,
        pruning_ratio=0.8,
        global_pruning=True,
        ignored_layers=_ends(net),
    )
    whole, _ = torch_pruning.utils.count_ops_and_params(net, example)
    for _ in range(_STEPS):
        pruner.step()
        left, _ = torch_pruning.utils.count_ops_and_params(net, example)
        if left <= _SHARE * whole:
            return
    raise Cannot(f"left {left / whole:.0%} of the multiply-accumulates after {_STEPS} steps")


def _train(net: nn.Module, x: torch.Tensor, y: torch.Tensor | None) -> None:
    loss: Any = nn.functional.mse_loss if y is None else nn.functional.cross_entropy
    wanted = x if y is None else y
    optimizer = torch.optim.Adam(net.parameters(), _RATE)
    generator = torch.Generator().manual_seed(0)
    net.train()
    for _ in range(_EPOCHS):
        for batch in torch.randperm(len(x), generator=generator).split(_BATCH):
            optimizer.zero_grad()
            loss(net(x[batch]), wanted[batch]).backward()
            optimizer.step()
    net.eval()


def convert(task: Task, out: Path) -> Path:
    torch.manual_seed(0)
    net = torch.load(task.path("torch"), weights_only=False)
    data = task.data("train")
    x = torch.from_numpy(data["x"])
    if not x.is_floating_point():
        raise Cannot("counts and prunes with float inputs only here")
    _prune(net, x[:1])
    is_classifier = task.metric == "top1"
    if is_classifier or task.metric == "auc of error":
        _train(net, x, torch.from_numpy(data["y"]) if is_classifier else None)
    program = torch.onnx.export(net, (x[:1],), dynamo=True, input_names=[task.input], opset_version=18, verbose=False)
    program.save(out / "model.onnx")
    return out / "model.onnx"


if __name__ == "__main__":
    run(convert, "torch-pruning", "torch")
