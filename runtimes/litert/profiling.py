"""Time by operator: each is cut out into a file of its own and timed there.

The interpreter's Python face has no profiler, and its kernels run inside a delegate that hides them. An operator alone lacks
what the delegate gains by fusing across operators (pads, layouts), so the sum may exceed the whole model's time.
"""

from __future__ import annotations

import statistics
import time

import numpy as np

from ...core.errors import RuntimeFailure
from .parts import take_apart
from .run import open_interpreter

_WARM_UP = 3


def profile_operators(data: bytes, threads: int, runs: int) -> list[tuple[str, str, float]]:
    """(name of the operator's first output, its kind, median microseconds of `runs` runs) in the file's order.

    Inputs are zeros and ones: the time of these kernels does not depend on the numbers. Raises RuntimeFailure.
    """
    if runs < 1:
        raise RuntimeFailure(f"{runs} runs were asked for; give at least one.")
    return [(part.name, part.kind, _median_us(part.data, part.name, threads, runs)) for part in take_apart(data)]


def _median_us(data: bytes, name: str, threads: int, runs: int) -> float:
    try:
        interpreter = open_interpreter(data, threads)
        generator = np.random.default_rng(0)
        for detail in interpreter.get_input_details():
            array = generator.integers(0, 2, detail["shape"]).astype(detail["dtype"])
            interpreter.set_tensor(detail["index"], array)
        for _ in range(_WARM_UP):
            interpreter.invoke()
        times = []
        for _ in range(runs):
            start = time.perf_counter()
            interpreter.invoke()
            times.append(time.perf_counter() - start)
    except (ValueError, RuntimeError) as error:
        raise RuntimeFailure(f"LiteRT failed while timing {name!r}: {str(error).splitlines()[0]}.") from error
    return statistics.median(times) * 1e6
