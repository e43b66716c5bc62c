# ruff: noqa: C408 (written by `python -m nanobind.stubgen`)
"""The native kernels; `kernels` is their face."""

from typing import Annotated

import numpy
from numpy.typing import NDArray

def avx2_enabled() -> bool:
    """Whether the kernels use AVX2."""

def allow_avx2(allowed: bool) -> bool:
    """Allow or forbid AVX2; whether it is used from now on."""

def summarize(
    data: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None), order="C", device="cpu", writable=False)],
    minimum: Annotated[NDArray[numpy.float32], dict(shape=(None,), order="C", device="cpu")],
    maximum: Annotated[NDArray[numpy.float32], dict(shape=(None,), order="C", device="cpu")],
    total: Annotated[NDArray[numpy.float64], dict(shape=(None,), order="C", device="cpu")],
    nan: Annotated[NDArray[numpy.int64], dict(shape=(None,), order="C", device="cpu")],
    infinite: Annotated[NDArray[numpy.int64], dict(shape=(None,), order="C", device="cpu")],
    threads: int,
) -> None: ...
def count_on_grid(
    data: Annotated[NDArray[numpy.float32], dict(shape=(None,), order="C", device="cpu", writable=False)],
    exponent: int,
    first: int,
    counts: Annotated[NDArray[numpy.int64], dict(shape=(None,), order="C", device="cpu")],
    threads: int,
) -> None: ...
def quantization_errors(
    values: Annotated[NDArray[numpy.float64], dict(shape=(None,), order="C", device="cpu", writable=False)],
    weights: Annotated[NDArray[numpy.float64], dict(shape=(None,), order="C", device="cpu", writable=False)],
    scales: Annotated[NDArray[numpy.float64], dict(shape=(None,), order="C", device="cpu", writable=False)],
    lowest: Annotated[NDArray[numpy.float64], dict(shape=(None,), order="C", device="cpu", writable=False)],
    highest: Annotated[NDArray[numpy.float64], dict(shape=(None,), order="C", device="cpu", writable=False)],
    errors: Annotated[NDArray[numpy.float64], dict(shape=(None,), order="C", device="cpu")],
    threads: int,
) -> None: ...
def row_errors(
    data: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order="C", device="cpu", writable=False)],
    scales: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order="C", device="cpu", writable=False)],
    lowest: float,
    highest: float,
    errors: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order="C", device="cpu")],
    threads: int,
) -> None: ...
def divergences(
    counts: Annotated[NDArray[numpy.float64], dict(shape=(None,), order="C", device="cpu", writable=False)],
    levels: int,
    result: Annotated[NDArray[numpy.float64], dict(shape=(None,), order="C", device="cpu")],
    threads: int,
) -> None: ...
