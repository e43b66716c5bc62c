"""Pipelines that train, as stories: one is released, one breaks, one is refused, and `accept` is seen by none of them."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import edgewright
import jsonschema
import numpy as np
import pytest
from edgewright.core.artifact_read import open_artifact
from edgewright.core.errors import DataError, EdgewrightError, ModelError, PassError, StoreError, UsageError
from edgewright.ir.passes import PassResult
from edgewright.optimizer import purse, training
from edgewright.optimizer.compile import CompileResult
from edgewright.optimizer.distill.distill import Distill
from edgewright.optimizer.report.terminal import report_text
from edgewright.optimizer.train.budget import Budget
from edgewright.optimizer.train.training import Training

pytest.importorskip("torch")

SCHEMA = Path(__file__).parents[2] / "docs" / "schema" / "report.schema.json"
REMOTE = "arm64-linux"
HALF = "half: prune{amount=0.5,of=parameters,align=1},distill{epochs=3,batch=32},fold-bn"
BROKEN = "broken: prune{amount=0.99,of=parameters},fold-bn"


def _compile(digits: tuple[Path, Path], folder: Path, **options: Any) -> CompileResult:
    """Compile into `folder`; the step store is one for all, beside the digits, unless a test is about what it holds."""
    local = folder / "data.npz"
    if not local.exists():
        shutil.copy(digits[1], local)
    given = {
        "data": local, "profiles": REMOTE, "gates": "top1 >= -4pt", "runtimes": "onnxruntime", "objective": "size",
        "search_samples": 128, "calib_samples": 64, "precisions": ("float32", "int8"), "store": digits[0].parent / "store",
    }  # fmt: skip
    return edgewright.compile(digits[0], out=folder / "out", **{**given, **options})


@pytest.fixture(scope="module")
def trained(digits: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[CompileResult, Path]:
    folder = tmp_path_factory.mktemp("trained")
    return _compile(digits, folder, pipelines=(HALF, BROKEN)), folder


def test_a_pruned_model_that_passes_is_released_and_smaller(trained: tuple[CompileResult, Path]) -> None:
    result, _ = trained
    (target,) = result.report.targets
    assert result.exit_code == 0
    assert target.chosen == "onnxruntime/int8/half"
    sizes = {candidate.key: candidate.size_bytes or 0 for candidate in target.candidates}
    assert sizes["onnxruntime/int8/half"] < 0.75 * sizes["onnxruntime/int8"]
    assert sizes["onnxruntime/float32/half"] < 0.75 * sizes["onnxruntime/float32"]
    assert target.baseline == "onnxruntime/float32"
    manifest = open_artifact(result.artifacts[REMOTE]).manifest
    assert manifest.pipeline.startswith(
        "strip,canonicalize,widen-weights,prune{of=parameters,align=1},distill{epochs=3,batch=32}"
    )
    assert ",fold-bn," in manifest.pipeline
    assert "quantize" in manifest.pipeline.rpartition("fold-bn")[2]
    assert "torch" in manifest.versions
    assert "half" in repr(result)


def test_a_variant_that_breaks_is_told_of_and_the_others_go_on(trained: tuple[CompileResult, Path]) -> None:
    result, folder = trained
    half, broken = result.report.variants
    assert (half.why, [step.text.partition("{")[0] for step in half.passes]) == ("", ["prune", "distill"])
    assert half.parameters is not None
    assert half.parameters < 0.6 * (result.report.model.parameters or 0)
    assert "99% of the parameters cannot be removed" in broken.why
    assert not [item for item in result.report.targets[0].candidates if item.variant == "broken"]
    text = report_text(result.report, folder / "out", 80)
    assert f"failed: {broken.why[:40]}" in " ".join(text.split())
    assert "\nhalf\n" in text
    page = result.page_path.read_text("utf-8")
    assert "leaves" in page
    assert "of the float32 file" in page


def test_the_report_fits_its_schema_and_reads_back(trained: tuple[CompileResult, Path]) -> None:
    value = json.loads(trained[0].report_path.read_text("utf-8"))
    jsonschema.validate(value, json.loads(SCHEMA.read_text("utf-8")))
    assert type(trained[0].report).from_json(value) == trained[0].report


def test_what_is_trained_on_is_all_that_judges_nothing(trained: tuple[CompileResult, Path], digits: tuple[Path, Path]) -> None:
    splits = trained[0].report.data.splits
    distinct = len(np.load(digits[1])["x"])
    assert splits["accept"] + splits["search"] + splits["train"] == distinct
    assert splits["calib"] == 64
    assert any(f"training: {splits['train']} samples with labels" in note for note in trained[0].report.notes)


def test_training_never_sees_accept(digits: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    original = training.Trainer.__init__

    def init(self: Any, given: Any, *rest: Any) -> None:
        seen.append(given)
        original(self, given, *rest)

    monkeypatch.setattr(training.Trainer, "__init__", init)
    result = _compile(digits, tmp_path, pipelines="finetune{epochs=1}", precisions="float32")
    (given,) = seen
    data = np.load(digits[1])["x"]
    hidden = {data[index].tobytes() for index in set(range(len(data))) - {*given.train.indices, *given.search.indices}}
    shown = {data[index].tobytes() for index in (*given.train.indices, *given.search.indices)}
    assert len(hidden) == result.report.data.splits["accept"]
    assert not hidden & shown


def test_the_same_seed_gives_the_same_artifact_and_a_second_run_trains_nothing(
    digits: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    for place in ("one", "two", "two"):
        (tmp_path / place).mkdir(exist_ok=True)
        options = {"precisions": "float32", "store": tmp_path / place / "store"}
        result = _compile(digits, tmp_path / place, pipelines="finetune{epochs=1,batch=128,patience=0}", **options)
        made.append(result.artifacts[REMOTE].read_bytes())
        if place == "two":
            monkeypatch.setattr(training.Trainer, "_made", _never)
    assert made[0] == made[1] == made[2]


class Timed(Budget):
    """A budget that has room for every plan, until `steps` steps have asked for it; `given` are the seconds of each."""

    steps = math.inf
    given: ClassVar[list[float]] = []

    def __init__(self, seconds: float, *rest: float | None) -> None:
        super().__init__(seconds, *rest)
        self.given.append(seconds)

    def part(self) -> Budget:
        return self

    def left_seconds(self) -> float:
        type(self).steps -= 1
        return 1e6 if self.steps >= 0 else -1.0


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> type[Timed]:
    """What the budgets of a compile are, anew."""
    made = type("Timed", (Timed,), {"given": []})
    monkeypatch.setattr(purse, "Budget", made)
    return made


def test_what_a_budget_cut_is_the_requests_own_and_a_larger_share_trains_on(
    digits: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, timed: type[Timed]
) -> None:
    (tmp_path / "other").mkdir()
    pipeline = "prune{amount=0.5,of=parameters,align=1,importance=l2},finetune{epochs=4,batch=64,patience=0}"
    options = {"pipelines": pipeline, "precisions": "float32", "search_samples": 64, "gates": "top1 >= -90pt"}

    def run(folder: Path, budget: str | None, left: float) -> tuple[Mapping[str, bytes], str]:
        """Files of the model, and what its training told."""
        timed.steps = left
        result = _compile(digits, folder, **options, budget=budget, store=folder / "store")
        (variant,) = result.report.variants
        return open_artifact(result.artifacts[REMOTE]).files, " ".join(variant.passes[1].notes)

    undisturbed, _ = run(tmp_path / "other", None, 0)
    cut, told = run(tmp_path, "60s", 7)
    assert "the budget of 60 s ran out after" in told
    assert cut != undisturbed
    with monkeypatch.context() as patch:
        patch.setattr(training.Trainer, "_made", _never)
        assert run(tmp_path, "60s", math.inf)[0] == cut
    steps: list[int] = []
    original = Training.step
    monkeypatch.setattr(Training, "step", lambda self, batch: steps.append(self.position.step) or original(self, batch))
    assert run(tmp_path, "70s", math.inf)[0] == undisturbed
    assert steps[0] == 6
    monkeypatch.setattr(training.Trainer, "_made", _never)
    assert [run(tmp_path, budget, 0)[0] for budget in (None, "60s")] == [undisturbed, undisturbed]


def test_what_is_found_leaves_its_share_to_what_trains(digits: tuple[Path, Path], tmp_path: Path, timed: type[Timed]) -> None:
    options = {"precisions": "float32", "search_samples": 64, "budget": "60s", "store": tmp_path / "store"}
    one, other = "one: finetune{epochs=1}", "other: finetune{epochs=1,lr=1e-4}"
    _compile(digits, tmp_path, pipelines=one, **options)
    result = _compile(digits, tmp_path, pipelines=(one, other), **options)
    assert timed.given == [60.0, 60.0]
    assert [len(variant.passes) for variant in result.report.variants] == [1, 1]


def _never(*_: Any) -> None:
    raise AssertionError("trained again")


def test_a_loss_that_is_not_finite_leaves_the_last_good_state(digits: tuple[Path, Path], tmp_path: Path) -> None:
    wild = "wild: finetune{epochs=2,lr=1e30,optimizer=sgd,clip=0}"
    result = _compile(digits, tmp_path, pipelines=wild, precisions="float32")
    (variant,) = result.report.variants
    assert any("not finite" in note for step in variant.passes for note in step.notes)
    for candidate in result.report.targets[0].candidates:
        assert candidate.metrics["top1"].candidate == candidate.metrics["top1"].reference


def test_a_training_file_of_its_own_is_all_trained_on(digits: tuple[Path, Path], tmp_path: Path) -> None:
    data = np.load(digits[1])
    np.savez(tmp_path / "data.npz", x=data["x"][:700], y=data["y"][:700])
    np.savez(tmp_path / "train.npz", x=data["x"][700:1000], y=data["y"][700:1000])
    np.savez(tmp_path / "search.npz", x=data["x"][1000:], y=data["y"][1000:])
    options = {"calib": tmp_path / "train.npz", "search": tmp_path / "search.npz", "precisions": "float32"}
    splits = _compile(digits, tmp_path, pipelines="finetune{epochs=1}", **options).report.data.splits
    assert splits == {"accept": 700, "search": len(data["x"]) - 1000, "calib": 64, "train": 300}


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"pipelines": "finetune{epochs=1}", "labels": False}, DataError, ["no labels", "distil"]),
        ({"pipelines": "finetune{epochs=1}", "teacher": "teacher"}, UsageError, ["--teacher", "no pipeline distils"]),
        ({"pipelines": "quantize{mode=qat,epochs=1}", "teacher": "other"}, PassError, ["the teacher's answer", "[4]", "[10]"]),
        ({"pipelines": "quantize{bits=4}", "teacher": "teacher"}, UsageError, ["--teacher", "no pipeline distils"]),
        ({"pipelines": "quantize{bits=4}", "budget": "10m"}, UsageError, ["--budget", "no pipeline trains"]),
        ({"pipelines": "sparsify{epochs=1}", "student": "teacher"}, UsageError, ["--student", "no pipeline distils"]),
        ({"pipelines": "prune,distill", "student": "teacher"}, UsageError, ["has prune before distill", "--student"]),
        ({"pipelines": "distill{epochs=1}", "teacher": "other"}, PassError, ["the teacher's answer", "[4]", "[10]"]),
        ({"pipelines": "distill{epochs=1}", "student": "other"}, PassError, ["the student's output", "[4]", "[10]"]),
        ({"pipelines": "finetune{epochs=1}", "loss": "numpy:no_such"}, UsageError, ["no_such"]),
        ({"pipelines": ("finetune{epochs=1}", "distill"), "budget": "1s"}, UsageError, ["'1s' is too small for 2 training(s)"]),
    ],
)
def test_what_cannot_be_trained_is_one_sentence_before_any_training(
    digits: tuple[Path, Path], tmp_path: Path, others: Mapping[str, Path], options: dict[str, Any],
    kind: type[EdgewrightError], words: list[str],
) -> None:  # fmt: skip
    options = {name: others.get(value, value) if isinstance(value, str) else value for name, value in options.items()}
    gate = {}
    if options.pop("labels", True) is False:
        np.savez(tmp_path / "data.npz", x=np.load(digits[1])["x"])
        gate = {"gates": "agreement >= 90%"}
    with pytest.raises(kind) as caught:
        _compile(digits, tmp_path, precisions="float32", **gate, **options)
    for word in words:
        assert word in str(caught.value)
    assert not list((tmp_path / "out").glob("*"))


@pytest.fixture(scope="module")
def others(digits: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """Models: one that answers the same question, and one that tells only four classes apart."""
    import onnx
    from onnx import numpy_helper

    folder = tmp_path_factory.mktemp("others")
    model = onnx.load(digits[0])
    for initializer in model.graph.initializer:
        if initializer.name in ("head", "bias"):
            initializer.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(initializer)[:4].copy(), initializer.name))
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 4
    onnx.save(model, folder / "other.onnx")
    return {"teacher": digits[0], "other": folder / "other.onnx"}


def test_int8_that_is_trained_is_a_candidate_of_its_own(digits: tuple[Path, Path], tmp_path: Path) -> None:
    options = {"precisions": "int8", "search_samples": 64}
    result = _compile(digits, tmp_path, pipelines="qat: quantize{mode=qat,epochs=1,batch=128}", **options)
    (target,) = result.report.targets
    assert result.exit_code == 0
    assert [item.key for item in target.candidates] == ["onnxruntime/float32", "onnxruntime/int8", "onnxruntime/int8/qat"]
    trained = target.candidates[-1]
    assert trained.pipeline.endswith("quantize{epochs=1,batch=128,mode=qat}")
    assert any("epoch" in note for note in trained.notes)


def test_int8_that_cannot_be_trained_is_told_of_and_the_others_go_on(
    digits: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise ModelError("the model cannot be trained: it has no floating-point weights; give the float model.")

    monkeypatch.setattr("edgewright.optimizer.quantize.qat.training.simulate", refuse)
    options = {"precisions": "int8", "search_samples": 64}
    result = _compile(digits, tmp_path, pipelines="qat: quantize{mode=qat,epochs=1}", **options)
    (target,) = result.report.targets
    assert (result.exit_code, target.chosen) == (0, "onnxruntime/int8")
    assert "cannot be trained" in next(item.why for item in target.candidates if item.variant == "qat")


def test_a_full_disk_while_int8_is_trained_ends_the_compile(
    digits: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise StoreError("the disk is full; make room.")

    monkeypatch.setattr("edgewright.optimizer.quantize.qat.training.simulate", refuse)
    with pytest.raises(StoreError, match="the disk is full"):
        _compile(digits, tmp_path, pipelines="qat: quantize{mode=qat,epochs=1}", precisions="int8", search_samples=64)
    assert not list(tmp_path.rglob("*.ewa"))


def test_a_student_takes_the_place_of_the_model_once(
    digits: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bool] = []

    def run(_: Any, model: Any, given: Any) -> PassResult:
        seen.append(given.student is not None)
        return PassResult(model, True)

    monkeypatch.setattr(Distill, "run", run)
    pipeline = "distill{epochs=1},distill{epochs=2},distill{epochs=1}"
    options = {"precisions": "float32", "search_samples": 64, "store": tmp_path / "store"}
    _compile(digits, tmp_path, pipelines=pipeline, student=digits[0], **options)
    assert seen == [True, False, False]
