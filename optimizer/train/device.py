"""Where a training runs, and the settings of torch that its result depends on."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
import torch.utils.deterministic

from ...device_profiles.detect import host_cpu


def best_device() -> torch.device:
    """The first CUDA device where there is one, else the CPU."""
    return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")


@contextmanager
def settled(device: torch.device, threads: int | None) -> Iterator[None]:
    """Fixed threads, deterministic kernels, and random numbers of their own; all as before when the block ends."""
    before = torch.get_num_threads()
    was_deterministic = torch.are_deterministic_algorithms_enabled()
    only_warned = torch.is_deterministic_algorithms_warn_only_enabled()
    filled = torch.utils.deterministic.fill_uninitialized_memory
    benchmarked = torch.backends.cudnn.benchmark
    if device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS reads it when its context is made
    try:
        torch.set_num_threads(threads or before)
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.utils.deterministic.fill_uninitialized_memory = False
        torch.backends.cudnn.benchmark = False
        with torch.random.fork_rng([device] if device.type == "cuda" else []), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*does not have a deterministic implementation.*")
            yield
    finally:
        torch.set_num_threads(before)
        torch.use_deterministic_algorithms(was_deterministic, warn_only=only_warned)
        torch.utils.deterministic.fill_uninitialized_memory = filled
        torch.backends.cudnn.benchmark = benchmarked


def seed_all(seed: int, device: torch.device) -> None:
    """Seed the global generators that layers and users' code draw from.

    Not `torch.manual_seed`: before a GPU is used it notes every call, with its stack, for the time when one is.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)


def half_precision(device: torch.device, *, is_wanted: bool) -> AbstractContextManager[Any]:
    """Autocast to bfloat16 on a GPU that computes in it, else nothing: its range is float32's, so no loss needs scaling."""
    if is_wanted and device.type == "cuda" and torch.cuda.is_bf16_supported():
        context: AbstractContextManager[Any] = torch.autocast("cuda", dtype=torch.bfloat16)
        return context
    return nullcontext()


def fingerprint(device: torch.device, threads: int | None) -> dict[str, Any]:
    """What numbers depend on beside the code: torch, threads, and the processor's kind."""
    cpu = host_cpu()
    return {
        "torch": torch.__version__,
        "threads": threads or torch.get_num_threads(),
        "cpu": [cpu.arch, sorted(cpu.flags)],
        "cuda": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
    }
