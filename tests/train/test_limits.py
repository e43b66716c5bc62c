"""Budgets, the user's own code, schedules, order and augmentation: what bounds a training, and what it says when wrong."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from edgewright.core.errors import DataError, EdgewrightError, ModelError, PassError, UsageError
from edgewright.core.store import StepStore
from edgewright.optimizer.passes.registry import parse
from edgewright.optimizer.train import budget as budgets
from edgewright.optimizer.train.augment import flipped, shifted
from edgewright.optimizer.train.averaged import Averaged
from edgewright.optimizer.train.batches import Order
from edgewright.optimizer.train.budget import Budget
from edgewright.optimizer.train.finetune import Finetune
from edgewright.optimizer.train.objective import Samples
from edgewright.optimizer.train.schedule import Schedule
from edgewright.optimizer.train.training import Training
from edgewright.optimizer.train.user import UserCode
from hypothesis import given
from hypothesis import strategies as st
from train.small_models import cnn, digit_needs, graph, is_one_sentence, split


class Clock:
    """A clock that is moved by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(budgets.time, "monotonic", lambda: self.now)


def test_a_budget_is_shared_by_weight_and_what_is_left_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    whole = Budget.parse("10m")
    whole.plan([1, 3, 1])
    first = whole.part()
    assert first.left_seconds() == pytest.approx(120)
    clock.now += 20
    second = whole.part()
    assert second.left_seconds() == pytest.approx(580 * 3 / 4)
    second.plan([1, 1])
    half = second.part()
    assert half.left_seconds() == pytest.approx(580 * 3 / 8)
    assert [part.share_seconds for part in (whole, first, second, half)] == [600, 120, 360, 180]
    half.feel()
    assert [part.is_felt for part in (whole, first, second, half)] == [True, False, True, True]
    clock.now += 575
    assert whole.part().left_seconds() == pytest.approx(5)
    assert whole.part().left_seconds() == pytest.approx(5)
    assert str(second) == "10 min"


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("10m", 600), ("1.5h", 5400), (" 2 m ", 120)])
def test_budgets_are_read(text: str, seconds: float) -> None:
    assert Budget.parse(text).whole_seconds == seconds


@pytest.mark.parametrize("text", ["", "10", "-5m", "0s", "5 days", "1e9h", "m"])
def test_what_is_no_budget_is_one_sentence(text: str) -> None:
    with pytest.raises(UsageError, match="is no time") as caught:
        Budget.parse(text)
    assert is_one_sentence(caught.value)


def test_a_budget_too_small_for_an_epoch_says_how_long_one_takes() -> None:
    model = cnn()
    with pytest.raises(UsageError, match=r"the budget of 0\.01 s is too small: one epoch takes about") as caught:
        Finetune(epochs=1000).run(model, digit_needs(model, budget=Budget(0.01)))
    assert is_one_sentence(caught.value)


def test_a_budget_plans_fewer_epochs_and_a_second_run_finds_the_same(tmp_path: Path) -> None:
    model = cnn()

    class Still(Budget):
        """Two seconds that do not pass, so that a busy machine cannot cut what it planned."""

        def part(self) -> Budget:
            return self

        def left_seconds(self) -> float:
            return 2.0

    results = []
    for _ in range(2):
        needs = digit_needs(model, 64, 32, budget=Still(2.0), store=StepStore(tmp_path))
        results.append(Finetune(epochs=100_000, batch=32).run(model, needs))
    assert results[0].model.digest() == results[1].model.digest()
    assert results[0].notes == results[1].notes
    assert any("of 100000 epochs" in note for note in results[0].notes)


class Spent(Budget):
    """A budget that has room for every plan, until so many steps have asked for it."""

    def __init__(self, seconds: float, steps: float = math.inf) -> None:
        super().__init__(seconds)
        self._steps = steps

    def part(self) -> Budget:
        return self

    def left_seconds(self) -> float:
        self._steps -= 1
        return 1e6 if self._steps >= 0 else -1.0


def test_a_budget_that_runs_out_keeps_the_best_and_a_larger_one_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = cnn()
    options = Finetune(epochs=6, batch=32)
    whole = options.run(model, digit_needs(model, 128, 64))
    store, short, long = StepStore(tmp_path), Spent(600.0, 13), Spent(2000.0)
    cut = options.run(model, digit_needs(model, 128, 64, budget=short, store=store))
    assert "ran out after 3 of 6 epochs" in cut.notes[-1]
    assert cut.model.digest() not in (whole.model.digest(), model.digest())
    steps = _counted_steps(monkeypatch)
    after = options.run(model, digit_needs(model, 128, 64, budget=long, store=store))
    assert after.model.digest() == whole.model.digest()
    assert len(steps) == 3 * 4
    assert (short.is_felt, long.is_felt) == (True, False)


def test_what_came_to_its_own_end_is_found_under_any_budget_and_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = cnn()
    store, options = StepStore(tmp_path), Finetune(epochs=2, batch=32)
    made = options.run(model, digit_needs(model, 128, 64, budget=Spent(600.0), store=store))
    steps = _counted_steps(monkeypatch)
    spent = Spent(1.0, 0)
    for budget in (None, spent):
        found = options.run(model, digit_needs(model, 128, 64, budget=budget, store=store))
        assert found.model.digest() == made.model.digest()
    assert not steps
    assert not spent.is_felt


def _counted_steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry for each step from now on."""
    made: list[int] = []
    original = Training.step

    def step(self: Training, batch: Samples) -> bool:
        made.append(self.position.step)
        return original(self, batch)

    monkeypatch.setattr(Training, "step", step)
    return made


USER = """
import torch

def good_loss(outputs, labels, inputs):
    return torch.nn.functional.cross_entropy(outputs["y"], labels)

def many(outputs, labels, inputs):
    return outputs["y"]

def number(outputs, labels, inputs):
    return 1.0

def fails(outputs, labels, inputs):
    raise ValueError("I am broken. Sorry.")

def apart(outputs, labels, inputs):
    return torch.zeros(())

def nan(outputs, labels, inputs):
    return outputs["y"].sum() * float("nan")

def rmsprop(groups, lr):
    return torch.optim.RMSprop(groups, lr=lr)

def no_optimizer(groups, lr):
    return None

def noise(inputs, generator):
    return {name: x + 0.01 * torch.randn(x.shape, generator=generator) for name, x in inputs.items()}

def wide(inputs, generator):
    return {name: x[:, :, :4] for name, x in inputs.items()}
"""


@pytest.fixture
def user(tmp_path: Path) -> str:
    (tmp_path / "mine.py").write_text(USER, "utf-8")
    return str(tmp_path / "mine.py")


def test_the_users_loss_optimizer_and_augmentation_train(user: str) -> None:
    model = cnn()
    code = UserCode.load(f"{user}:good_loss", f"{user}:rmsprop", f"{user}:noise")
    result = Finetune(epochs=2, batch=32).run(model, digit_needs(model, 128, 64, user=code))
    assert "-loss" in result.notes[0]
    again = Finetune(epochs=2, batch=32).run(model, digit_needs(model, 128, 64, user=code))
    assert again.model.digest() == result.model.digest()
    default = Finetune(epochs=2, batch=32).run(model, digit_needs(model, 128, 64))
    assert default.model.digest() != result.model.digest()
    ready = UserCode.load(optimizer="torch.optim:Adam")
    assert Finetune(epochs=1).run(model, digit_needs(model, 64, 0, user=ready)).changed


def test_the_page_on_training_works(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "training.md").read_text("utf-8")
    (tmp_path / "page.py").write_text(page.split("```python\n")[1].split("```")[0], "utf-8")
    model = cnn()
    code = UserCode.load(**{part: f"{tmp_path}/page.py:{part}" for part in ("loss", "optimizer", "augment")})
    result = Finetune(epochs=4, batch=32).run(model, digit_needs(model, 128, 64, user=code))
    assert result.model.digest() != model.digest()


@pytest.mark.parametrize(
    ("part", "function", "said"),
    [
        ("loss", "many", "must return a tensor with one number"),
        ("loss", "number", "must return a tensor with one number"),
        ("loss", "fails", r"failed with ValueError \(I am broken, Sorry\)"),
        ("loss", "apart", "does not depend on any weight"),
        ("loss", "nan", "not finite at the very first step"),
        ("optimizer", "no_optimizer", "must return a torch.optim.Optimizer"),
        ("optimizer", "fails", "failed with TypeError"),
        ("augment", "wide", "as it was given"),
        ("augment", "fails", "failed with TypeError"),
    ],
)
def test_the_users_mistakes_are_one_sentence(user: str, part: str, function: str, said: str) -> None:
    model = cnn()
    code = UserCode.load(**{part: f"{user}:{function}"})
    with pytest.raises(PassError, match=said) as caught:
        Finetune(epochs=1).run(model, digit_needs(model, 64, 0, user=code))
    assert is_one_sentence(caught.value)


@pytest.mark.parametrize("name", ["nothing", "there.is.no:module", "torch:nothing_like_it", "./missing.py:f"])
def test_functions_that_are_not_there_are_one_sentence(name: str) -> None:
    with pytest.raises(UsageError):
        UserCode.load(loss=name)


def test_what_the_users_code_is_belongs_to_the_key(user: str) -> None:
    before = UserCode.load(loss=f"{user}:good_loss").to_json()
    Path(user).write_text(USER + "\n# changed\n", "utf-8")
    assert UserCode.load(loss=f"{user}:good_loss").to_json() != before


def test_no_samples_and_no_gradient_are_one_sentence() -> None:
    model = cnn()
    needs = digit_needs(model, 64, 0)
    with pytest.raises(DataError, match="the calib split has no samples") as caught:
        Finetune().run(model, replace(needs, train=replace(needs.train, indices=())))
    assert is_one_sentence(caught.value)
    rounded = graph(
        [("Gemm", ["x", "w"], "s", {}), ("Sign", ["s"], "y", {})],
        {"w": np.ones((4, 2), np.float32)},
        {"x": ("n", 4)},
        {"y": ("n", 2)},
    )
    data = split(rounded, {"x": np.ones((8, 4), np.float32), "y": np.zeros(8, np.int64)})
    with pytest.raises(ModelError) as caught_model:
        Finetune().run(rounded, replace(needs, train=data))
    assert is_one_sentence(caught_model.value)


def test_options_are_checked_and_round_trip() -> None:
    text = "finetune{epochs=3,batch=8,lr=0.01,optimizer=sgd,batch-norm=re-estimate,augment=flip-shift,task=regression}"
    assert str(parse(text)) == text
    wrong = ["epochs=0", "batch=0", "lr=0", "lr=nan", "warmup=1", "ema=1", "clip=-1", "freeze-after=2", "patience=-1", "lr=inf"]
    for option in wrong:
        with pytest.raises(EdgewrightError):
            parse(f"finetune{{{option}}}")


@given(steps=st.integers(1, 500), warmup=st.floats(0, 0.9))
def test_rates_rise_then_fall_to_a_hundredth(steps: int, warmup: float) -> None:
    schedule = Schedule(warmup=warmup)
    rates = [schedule.rate(step, steps) for step in range(steps)]
    rise = math.ceil(warmup * steps)
    assert all(0 < rate <= 1 for rate in rates)
    assert rates[:rise] == sorted(rates[:rise])
    assert rates[rise:] == sorted(rates[rise:], reverse=True)
    if steps - rise > 1:
        assert rates[rise] == 1
        assert rates[-1] == pytest.approx(0.01)


@given(count=st.integers(1, 200), batch=st.integers(1, 64), seed=st.integers(0, 2**40))
def test_an_epoch_sees_no_sample_twice(count: int, batch: int, seed: int) -> None:
    order = Order(count, batch, seed)
    epochs = [
        [place for step in range(order.steps_per_epoch) for place in order.places(epoch * order.steps_per_epoch + step)]
        for epoch in range(2)
    ]
    for seen in epochs:
        assert len(seen) == len(set(seen)) == order.steps_per_epoch * min(batch, count)
        assert set(seen) <= set(range(count))
    assert np.array_equal(Order(count, batch, seed).places(0), order.places(0))
    assert count < 12 or epochs[0] != epochs[1]


@given(samples=st.integers(1, 100_000))
def test_small_data_get_small_batches(samples: int) -> None:
    batch = Schedule().batch_for(samples)
    assert 16 <= batch <= 64
    assert batch == 16 or samples // batch >= 40


def test_averages_start_with_a_short_memory_and_leave_what_stands_still() -> None:
    moving, still = torch.zeros(3), torch.full((3,), 0.1)
    averaged = Averaged({"moving": moving, "still": still}, 0.999)
    expected = 0.0
    for step in range(50):
        moving.fill_(step + 1.0)
        averaged.update(step)
        decay = min(0.999, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * (step + 1.0)
    assert averaged.values["moving"][0].item() == pytest.approx(expected, rel=1e-5)
    assert torch.equal(averaged.values["still"], still)
    with averaged.in_place():
        assert moving[0].item() == pytest.approx(expected, rel=1e-5)
    assert moving[0].item() == 50.0


def test_images_are_shifted_and_flipped_by_the_generator_alone() -> None:
    images = torch.rand(64, 3, 16, 12)
    first = shifted(flipped(images, torch.Generator().manual_seed(1)), torch.Generator().manual_seed(2))
    again = shifted(flipped(images, torch.Generator().manual_seed(1)), torch.Generator().manual_seed(2))
    assert torch.equal(first, again)
    assert first.shape == images.shape
    mirrored = flipped(images, torch.Generator().manual_seed(1))
    is_mirrored = (mirrored == images.flip(3)).flatten(1).all(1)
    assert 16 < int(is_mirrored.sum()) < 48
    assert torch.equal(mirrored[~is_mirrored], images[~is_mirrored])
    ramp = torch.arange(16.0)[None, None, :, None].expand(64, 1, 16, 12)
    by = (shifted(ramp, torch.Generator().manual_seed(3)) - ramp)[:, 0, 8, 5]
    assert set(by.tolist()) == {-2.0, -1.0, 0.0, 1.0, 2.0}


def test_augmentation_of_what_is_no_image_is_one_sentence() -> None:
    model = graph([("Gemm", ["x", "w"], "y", {})], {"w": np.ones((4, 2), np.float32)}, {"x": ("n", 4)}, {"y": ("n", 2)})
    data = split(model, {"x": np.ones((8, 4), np.float32), "y": np.zeros(8, np.int64)})
    needs = replace(digit_needs(cnn(), 64, 0), train=data)
    with pytest.raises(PassError, match=r"and the inputs .* are none") as caught:
        Finetune(augment="flip").run(model, needs)
    assert is_one_sentence(caught.value)
