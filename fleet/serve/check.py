"""The health check of a worker: its artifact's test vectors, through the path that a client's request takes."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...core.errors import EdgewrightError, RuntimeFailure
from ...runtimes.bench.batches import run_all
from .client import read_answer, write_request
from .connection import JSON_BYTES
from .generation import Health
from .head import Head
from .model import LoadedModel
from .service import Service

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Few vectors are run again until there are so many latencies, or this much time went by.
_RUNS, _SECONDS = 50, 2.0


class _Requests:
    """An executor that sends each batch through the service as the bytes of a request."""

    def __init__(self, model: LoadedModel, service: Service) -> None:
        self.inputs, self.outputs = model.inputs, model.outputs
        self._target = f"/v2/models/{model.name}/infer"
        self._service = service
        self.seconds: list[float] = []

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        pieces = write_request(inputs)
        body = b"".join(pieces)
        head = Head("POST", self._target, {JSON_BYTES: str(len(pieces[0]))}, len(body), True, False)
        start = time.perf_counter()
        response = self._service.handle(head, memoryview(body))
        self.seconds.append(time.perf_counter() - start)
        answer = b"".join(response.pieces)
        if response.status != 200:
            raise RuntimeFailure(f"the worker refuses a test vector: {answer[:300].decode('utf-8', 'replace')}")
        return read_answer(answer, response.json_bytes)

    def close(self) -> None:
        """Nothing is held."""


def check(model: LoadedModel, service: Service) -> Health:
    """Run all test vectors; never raises for what the model does."""
    requests = _Requests(model, service)
    samples = model.vectors.samples
    try:
        mismatch = model.vectors.mismatch(run_all(requests, model.vectors.inputs))
        end = time.monotonic() + _SECONDS
        while mismatch is None and len(requests.seconds) < _RUNS and time.monotonic() < end:
            run_all(requests, {name: array[:1] for name, array in model.vectors.inputs.items()})
    except EdgewrightError as error:
        return Health(False, str(error), samples)
    if mismatch is not None:
        return Health(
            False, f"the test vectors are not answered as they were when the model was compiled: {mismatch}.", samples
        )
    ordered = sorted(requests.seconds)
    return Health(
        True,
        f"{samples} test vectors are answered as expected.",
        samples,
        ordered[len(ordered) // 2] * 1e3,
        ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))] * 1e3,
    )
