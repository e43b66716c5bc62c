"""Batches of several requests: every request gets its own rows, and the runtime runs less often."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from edgewright.core.errors import RuntimeFailure
from edgewright.fleet.serve.batching import Batches
from edgewright.fleet.serve.model import LoadedModel, Ran
from tiny_artifact import answer

SIZES = (1, 3, 2, 1, 9, 1)


@pytest.fixture(scope="module")
def model(build: Callable[..., Path]) -> LoadedModel:
    made = LoadedModel(build(1.0, batch=None))
    assert made.is_batch_free
    return made


def at_once(batches: Batches, inputs: list[np.ndarray]) -> list[Ran | BaseException]:
    """What each of the requests gets that are made in threads of their own."""
    found: dict[int, Ran | BaseException] = {}

    def ask(index: int) -> None:
        try:
            found[index] = batches.run({"x": inputs[index]}, len(inputs[index]))
        except RuntimeFailure as error:
            found[index] = error

    threads = [threading.Thread(target=ask, args=(index,)) for index in range(len(inputs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [found[index] for index in range(len(inputs))]


@pytest.mark.parametrize("wait_ms", [0.0, 200.0])
def test_each_request_gets_its_rows(model: LoadedModel, wait_ms: float) -> None:
    inputs = [np.random.default_rng(size).integers(0, 9, (size, 4)).astype(np.float32) for size in SIZES]
    for x, ran in zip(inputs, at_once(Batches(model, 8, wait_ms), inputs), strict=True):
        assert isinstance(ran, Ran)
        np.testing.assert_array_equal(ran.outputs["y"], answer(x, 1.0))


def test_requests_that_come_together_share_a_run(model: LoadedModel) -> None:
    inputs = [np.full((1, 4), index, np.float32) for index in range(4)]
    # A full batch starts at once, long before the wait is over.
    found = at_once(Batches(model, 4, 30_000.0), inputs)
    assert sum(ran.executions for ran in found if isinstance(ran, Ran)) == 1
    assert [int(ran.outputs["y"][0, 0]) for ran in found if isinstance(ran, Ran)] == [int(answer(x, 1.0)[0, 0]) for x in inputs]


def test_a_run_that_fails_is_told_to_each_of_its_requests_and_to_no_other(model: LoadedModel) -> None:
    batches = Batches(model, 2, 30_000.0)
    wrong = [np.zeros((1, 5), np.float32)] * 2
    assert all(isinstance(found, RuntimeFailure) for found in at_once(batches, wrong))
    good = [np.zeros((1, 4), np.float32)] * 2
    assert all(isinstance(found, Ran) for found in at_once(batches, good))
