"""`quantize{mode=qat}`: better integers, never worse ones, the same every time."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from edgewright.core.errors import PassError
from edgewright.ir.model import Model
from edgewright.optimizer.passes.registry import parse
from edgewright.optimizer.quantize.quantize import Quantize
from edgewright.runtimes import registry
from quantize.qat_model import Bench, answers, network

torch = pytest.importorskip("torch")

from edgewright.optimizer.quantize.qat.swings import Swings, threshold  # noqa: E402

HARD = {"bits": 4, "ends": 4, "granularity": "tensor"}
FAST = {"epochs": 4, "batch": 16, "lr": 3e-3}


@cache
def bench(*, is_sparse: bool = False) -> Bench:
    return Bench(network(is_sparse=is_sparse))


@cache
def trained(runtime: str = "litert", **options: Any) -> tuple[Model, tuple[str, ...]]:
    result = Quantize(mode="qat", **{**HARD, **FAST, **options}).run(bench().base, bench().needs(runtime))
    return result.model, result.notes


def distance(model: Model, runtime: str = "litert") -> float:
    """Mean squared distance of the lowered file's answers from the float model's, on samples that nobody saw."""
    x = bench().unseen
    return float(np.square(answers(model, runtime, x) - answers(bench().base, runtime, x)).mean())


@pytest.mark.parametrize("runtime", registry.NAMES)
def test_training_wins_back_what_coarse_integers_lose(runtime: str) -> None:
    static = Quantize(**HARD).run(bench().base, bench().needs(runtime)).model
    model, notes = trained(runtime)
    assert distance(model, runtime) < 0.65 * distance(static, runtime)
    assert any("agreement" in note for note in notes)
    assert [node.op_type for node in model.graph] == [node.op_type for node in static.graph]
    assert model.weights()["c1/weights"].dtype == static.weights()["c1/weights"].dtype


def test_the_same_every_time() -> None:
    again = Quantize(mode="qat", **{**HARD, **FAST}).run(bench().base, bench().needs("litert")).model
    assert again.to_bytes() == trained()[0].to_bytes()


def test_a_training_that_does_harm_leaves_the_integers_of_calibration() -> None:
    static = Quantize().run(bench().base, bench().needs("litert")).model
    result = Quantize(mode="qat", epochs=1, lr=10.0, ema=0.0, warmup=0.0).run(bench().base, bench().needs("litert"))
    assert result.model.to_bytes() == static.to_bytes()
    assert any("those of calibration stay" in note for note in result.notes)


def test_without_a_search_split_a_tenth_of_the_training_samples_judges() -> None:
    given = bench().needs("litert", search=None)
    result = Quantize(mode="qat", epochs=1, lr=10.0, ema=0.0, warmup=0.0).run(bench().base, given)
    assert any("those of calibration stay" in note for note in result.notes)


def test_zeros_of_a_sparse_model_stay_zeros() -> None:
    sparse = bench(is_sparse=True)
    result = Quantize(mode="qat", **FAST).run(sparse.base, sparse.needs("onnxruntime")).model
    before, after = sparse.base.weights(), result.weights()
    static = Quantize().run(sparse.base, sparse.needs("onnxruntime")).model.weights()
    for weights, layer in (("w1", "c1"), ("w2", "c2"), ("w3", "h")):
        assert (after[f"{layer}/weights"][before[weights] == 0] == 0).all()
    assert any((after[f"{layer}/weights"] != static[f"{layer}/weights"]).any() for layer in ("c1", "c2", "h"))


def test_layers_in_float_are_trained_too() -> None:
    model, _ = trained(keep_float=("c2",))
    assert not np.array_equal(model.weights()["w2"], bench().base.weights()["w2"])


def test_damping_draws_weights_to_their_integers() -> None:
    """What remains between a float weight and its integer cannot be seen in the result: it is asked of the simulation."""
    from edgewright.optimizer.quantize.qat.damping import Damped
    from edgewright.optimizer.quantize.qat.simulation import simulate

    quantized, plan, scheme = bench().planned("litert", "x86-64-vnni", Quantize(**HARD))
    simulation = simulate(bench().base, quantized, plan, scheme)

    class Nothing:
        keep, metric = (), "none"

        def loss(self, batch: Any, values: Any) -> Any:
            return torch.zeros(())

    damped = Damped(Nothing(), simulation, 1.0)  # type: ignore[arg-type]
    damped.grow(0, 100)
    assert damped.loss(None, {}).item() == 0
    damped.grow(99, 100)
    optimizer = torch.optim.Adam(simulation.module.parameters(), lr=0.01)
    distances = []
    for _ in range(40):
        loss = damped.loss(None, {})  # type: ignore[arg-type]
        distances.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert distances[-1] < 0.5 * distances[0]
    from edgewright.optimizer.quantize.qat.write import written

    assert written(quantized, simulation).to_bytes() == quantized.to_bytes()


def test_weights_that_swing_are_told_from_those_that_wander() -> None:
    swings = Swings(torch.zeros(3))
    for step in range(200):
        swings.see(torch.tensor([step % 2, step // 20, 0.0]))
    places, levels = swings.restless(0.1)
    assert places.tolist() == [True, False, False]
    assert levels[0].item() in (0.0, 1.0)
    assert threshold(0, 100) > threshold(50, 100) > threshold(99, 100) > 0


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("quantize{epochs=3}", "epochs is an option of training; add mode=qat"),
        ("quantize{mode=qat,temperature=0}", "temperature=0.0 is out of range"),
        ("quantize{mode=qat,epochs=0}", "epochs=0 must be at least 1"),
    ],
)
def test_options_that_cannot_be(text: str, told: str) -> None:
    with pytest.raises(PassError, match=told):
        parse(text)


def test_without_data_to_train_on() -> None:
    given = bench().needs("litert")
    given = type(given)(given.scheme, given.statistics, given.rounder)
    with pytest.raises(PassError, match="no data to train on"):
        Quantize(mode="qat").run(bench().base, given)


def test_the_text_says_what_was_trained() -> None:
    text = "quantize{epochs=3,mode=qat,bits=4,freeze-scales=0.5,oscillation=ignore}"
    assert str(parse(text)) == text
