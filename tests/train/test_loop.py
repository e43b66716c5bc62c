"""The loop on real digits: it learns, and comes to the same bytes however often it is stopped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from edgewright.core.errors import PassError
from edgewright.core.store import StepStore
from edgewright.ir.model import Model
from edgewright.optimizer.train import batches, checkpoint
from edgewright.optimizer.train.finetune import Finetune
from edgewright.optimizer.train.loop import Fitted, fit
from edgewright.optimizer.train.module import GraphModule
from edgewright.optimizer.train.schedule import Schedule
from edgewright.optimizer.train.supervised import supervised
from train.small_models import Recorder, accuracy, cnn, damaged, digit_needs, digits, is_one_sentence, split

SHORT = Schedule(epochs=4, batch=16)


class Killed(BaseException):
    """The process dies here."""


def trained(
    schedule: Schedule = SHORT, *, model: Model | None = None, callbacks: Any = (), **needs: Any
) -> tuple[GraphModule, Fitted]:
    """`fit` on the digits, of a network with batch norm unless another is given."""
    model = cnn() if model is None else model
    known = digit_needs(model, 128, 64, **needs)
    module = GraphModule(model)
    fitted = fit(module, supervised(model, known), known, schedule, key="test", callbacks=callbacks)
    return module, fitted


@pytest.fixture(scope="module")
def undisturbed() -> str:
    return trained()[0].to_model().digest()


def test_it_learns_and_wins_back_what_noise_took() -> None:
    fresh = cnn(softmax=True)
    needs = digit_needs(fresh, 600, 100)
    reference = Finetune(epochs=6, batch=32, lr=0.01).run(fresh, needs).model
    broken = damaged(reference, 1.0)
    repaired = Finetune(epochs=3, batch=32, lr=0.005).run(broken, needs)
    told = [accuracy(model) for model in (fresh, reference, broken, repaired.model)]
    assert told[0] < 0.3
    assert told[1] > 0.9
    assert told[2] < told[1] - 0.1
    assert told[3] > told[1] - 0.02
    assert "top-1" in repaired.notes[0]


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(undisturbed: str) -> None:
    assert trained()[0].to_model().digest() == undisturbed
    assert trained(seed=1)[0].to_model().digest() != undisturbed


@pytest.mark.parametrize(
    "schedule",
    [SHORT, Schedule(epochs=4, batch=16, optimizer="sgd", ema=0.0), Schedule(epochs=4, batch=16, batch_norm="re-estimate")],
    ids=["adamw", "sgd", "re-estimate"],
)
def test_a_killed_run_goes_on_to_the_same_bytes(schedule: Schedule, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = trained(schedule)[0].to_model().digest()
    monkeypatch.setattr(checkpoint, "_EVERY_SECONDS", 0.0)
    monkeypatch.setattr(checkpoint, "_EPOCH_SECONDS", 0.0)
    monkeypatch.setattr(checkpoint, "_SPARING", 0)
    store = StepStore(tmp_path)
    steps: list[int] = []
    for moment in (3, 8, 19, 30):

        def die(step: int, _: int, moment: int = moment) -> None:
            steps.append(step)
            if step == moment:
                raise Killed

        with pytest.raises(Killed):
            trained(schedule, callbacks=[die], store=store)
    module, fitted = trained(schedule, callbacks=[lambda step, _: steps.append(step)], store=store)
    assert module.to_model().digest() == whole
    assert fitted.steps == 32
    assert steps == sorted(steps)  # it never began anew
    assert not list((tmp_path / "unfinished").iterdir())


def test_a_damaged_checkpoint_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undisturbed: str) -> None:
    monkeypatch.setattr(checkpoint, "_EVERY_SECONDS", 0.0)

    def die(step: int, _: int) -> None:
        if step == 11:
            raise Killed

    with pytest.raises(Killed):
        trained(callbacks=[die], store=StepStore(tmp_path))
    (file,) = (tmp_path / "unfinished").rglob("checkpoint")
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    steps: list[int] = []
    module, _ = trained(callbacks=[lambda step, _: steps.append(step)], store=StepStore(tmp_path))
    assert steps[0] == 0
    assert module.to_model().digest() == undisturbed


def test_a_finished_training_is_found_again(tmp_path: Path, undisturbed: str) -> None:
    first, how = trained(store=StepStore(tmp_path))
    seen = Recorder()
    second, again = trained(store=StepStore(tmp_path), progress=seen)
    assert first.to_model().digest() == second.to_model().digest() == undisturbed
    assert again == how
    assert seen.tasks == []
    other, _ = trained(Schedule(epochs=3, batch=16), store=StepStore(tmp_path))
    assert other.to_model().digest() != undisturbed


def test_samples_on_disk_train_as_those_in_memory(monkeypatch: pytest.MonkeyPatch, undisturbed: str) -> None:
    monkeypatch.setattr(batches, "MEMORY_BYTES", 0)
    needs = digit_needs(cnn(), 128, 64)
    assert not batches.opened(needs.train, needs.progress).is_in_memory
    assert trained()[0].to_model().digest() == undisturbed


def test_a_poisoned_run_goes_back_slows_down_and_keeps_the_last_good_state() -> None:
    module = GraphModule(cnn())
    needs = digit_needs(cnn(), 128, 64)

    def poison(step: int, _: int) -> None:
        if step == 12:
            with torch.no_grad():
                module.tensor("head").fill_(float("inf"))

    fitted = fit(module, supervised(cnn(), needs), needs, SHORT, key="poison", callbacks=[poison])
    assert fitted.steps == 8
    assert [note for note in fitted.notes if "not finite at step 13" in note] == list(fitted.notes)
    assert "stopped there" in fitted.notes[-1]
    assert len(fitted.notes) == 3
    assert all(np.isfinite(array).all() for array in module.to_model().weights().values())
    assert fitted.score is not None
    assert fitted.start_score is not None
    assert fitted.score >= fitted.start_score


def test_a_learning_rate_that_explodes_is_halved_until_it_works_or_given_up() -> None:
    module, fitted = trained(Schedule(epochs=2, batch=16, lr=1e30, clip=0))
    assert any("halved the learning rate" in note for note in fitted.notes)
    assert all(np.isfinite(array).all() for array in module.to_model().weights().values())


def test_training_stops_early_without_a_better_score() -> None:
    _, fitted = trained(Schedule(epochs=50, batch=64, lr=1e-9, patience=3, ema=0.0))
    assert fitted.epochs < 20
    assert "stopped early" in fitted.notes[-1]


def test_without_search_the_last_state_stands() -> None:
    model = cnn()
    needs = digit_needs(model, 128, 0)
    module = GraphModule(model)
    fitted = fit(module, supervised(model, needs), needs, SHORT, key="no search")
    assert fitted.score is None
    assert fitted.steps == 32
    assert accuracy(module.to_model()) > 0.2 > accuracy(model)


def test_states_before_kept_from_do_not_compete() -> None:
    model = cnn()
    needs = digit_needs(model, 128, 64)
    module = GraphModule(model)
    worse = Schedule(epochs=4, batch=16, lr=1e-12, ema=0.0)
    fitted = fit(module, supervised(model, needs), needs, worse, key="late", kept_from=0.75)
    assert module.to_model().digest() != model.digest()
    assert fitted.steps == 32


def test_batch_norm_is_updated_or_stays() -> None:
    before = cnn().weights()["0.mean"]
    moved = trained(Schedule(epochs=1, batch=16))[0].to_model().weights()["0.mean"]
    kept = trained(Schedule(epochs=1, batch=16, batch_norm="frozen"))[0].to_model().weights()["0.mean"]
    assert not np.allclose(moved, before)
    assert np.array_equal(kept, before)
    _, tiny = trained(Schedule(epochs=1, batch=4))
    assert any("batch norms keep their statistics" in note for note in tiny.notes)


def test_biases_and_norms_do_not_decay() -> None:
    model = cnn()
    needs = digit_needs(model, 128, 0)
    module = GraphModule(model)

    class Flat:
        keep: tuple[str, ...] = ()
        metric = "nothing"

        def prepare(self, data: Any, device: Any) -> None: ...

        def loss(self, batch: Any, values: Any) -> Any:
            return values["y"].sum() * 0

        def score(self, batch: Any, values: Any) -> Any:
            return values["y"][:, 0]

        def to_json(self) -> Any:
            return "flat"

    fit(module, Flat(), needs, Schedule(epochs=1, batch=16, weight_decay=0.1, lr=0.1, ema=0.0), key="decay")
    before, after = model.weights(), module.to_model().weights()
    assert np.abs(after["head"]).sum() < np.abs(before["head"]).sum()
    assert np.array_equal(after["0.scale"], before["0.scale"])
    assert np.array_equal(after["bias"], before["bias"])


def test_progress_tells_epoch_loss_and_score() -> None:
    seen = Recorder()
    trained(progress=seen)
    assert "train" in seen.tasks
    assert seen.said[-1].startswith("epoch 4 of 4, loss ")
    assert "top-1 0." in seen.said[-1]
    assert seen.units == 32 + 128 + 64


def test_settings_of_torch_are_as_before() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    threads = torch.get_num_threads()
    trained(Schedule(epochs=1))
    assert torch.equal(torch.rand(3), expected)
    assert torch.get_num_threads() == threads
    assert not torch.are_deterministic_algorithms_enabled()


def test_a_first_loss_that_is_not_finite_is_one_sentence() -> None:
    model = cnn()
    x, y = digits()
    huge = np.where(np.arange(8) < 4, 1e30, 1.0).astype(np.float32) * x[:64]
    data = split(model, {"x": huge, "y": y[:64]})
    module = GraphModule(damaged(model, 1e12))
    needs = digit_needs(model, 64, 0)
    needs = type(needs)(train=data, search=None, reference=model, threads=1)
    with pytest.raises(PassError, match="very first step") as caught:
        fit(module, supervised(model, needs), needs, Schedule(epochs=1, batch_norm="frozen"), key="huge")
    assert is_one_sentence(caught.value)
