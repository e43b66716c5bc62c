"""Retraining with the real compiler: what helps passes; poisoned labels, too few of them, a forgotten world are refused."""

from __future__ import annotations

from pathlib import Path

import edgewright
import numpy as np
import pytest
from edgewright.core.canonical import digest_file
from edgewright.core.errors import DataError, PassError, UsageError
from edgewright.optimizer.retrain.judge import Gates
from edgewright.optimizer.retrain.material import Amounts
from edgewright.optimizer.retrain.retrainer import Request, Retrainer
from edgewright.optimizer.retrain.samples import Samples, save
from world import CLASSES, samples, write_npz, write_source

PROFILE = "x86-64-avx2"
OWN = Path(__file__).parent / "own_training.py"
FAST = {"precisions": ["float32"], "runtimes": ["onnxruntime"], "objective": "size", "gates": ["top1 >= -2pt"]}
TURNED = 0.6


@pytest.fixture(scope="module")
def deployed(tmp_path_factory):
    """A folder with the old world, a source that was trained on it, and what was compiled from that."""
    folder = tmp_path_factory.mktemp("deployed")
    x, y = samples(4000, 1)
    write_npz(folder / "old.npz", x, y)
    write_source(folder / "source.onnx", x[:2500], y[:2500])
    options = {"name": "net", "out": folder / "dist", "store": folder / "store", **FAST}
    result = edgewright.compile(folder / "source.onnx", data=folder / "old.npz", profiles=PROFILE, **options)
    assert result.exit_code == 0
    return folder


def retrainer(deployed, folder, train="with_replay", **changes):
    request = {"data": deployed / "old.npz", "gates": Gates(("top1 >= -5pt",)), "compile": FAST, **changes}
    train = f"{OWN}:{train}" if train in ("with_replay", "new_only", "nothing") else train
    return Retrainer(Request(train=train, **request), deployed / "store", folder / "looks.jsonl")


def labelled(folder, x, y, name="new"):
    save(folder / f"{name}.npz", Samples({"x": x}, y), {"is_random": np.ones(len(y), dtype=bool)})
    return folder / f"{name}.npz"


def refusal(deployed, folder, x, y, train="with_replay"):
    """The step that refuses a retraining with these new samples, and why; (None, None) where all pass."""
    made = retrainer(deployed, folder, train)
    running = {PROFILE: deployed / "dist" / f"net-{PROFILE}.ewa"}
    found = made.collect(folder, labelled(folder, x, y), folder / "earlier.npz", running)
    if found.refusal is not None:
        return "collect", found.refusal
    trained = made.train(folder, deployed / "source.onnx")
    compiled = made.compile(folder, trained.files["source"], "net", (PROFILE,))
    if compiled.refusal is not None:
        return "compile", compiled.refusal
    judged = made.judge(folder, compiled.files, running)
    return (None, None) if judged.refusal is None else ("gate", judged.refusal)


def test_what_helps_passes(deployed, tmp_path):
    assert refusal(deployed, tmp_path, *samples(1500, 2, TURNED)) == (None, None)


def test_labels_at_random_do_not_win_on_the_new_data(deployed, tmp_path):
    x, _ = samples(1500, 2, TURNED)
    step, why = refusal(deployed, tmp_path, x, np.random.default_rng(3).integers(0, CLASSES, len(x)))
    assert step == "gate"
    assert "'top1 >= +0pt' on the new data" in why or "on the old data" in why


def test_labels_that_are_all_wrong_lose_the_old_world(deployed, tmp_path):
    x, y = samples(1500, 2)
    step, why = refusal(deployed, tmp_path, x, (y + 1) % CLASSES, train="new_only")
    assert step == "gate"
    assert f"'top1 >= -5pt' on the old data, for {PROFILE}, is failed" in why


def test_a_forgotten_world_is_refused(deployed, tmp_path):
    step, why = refusal(deployed, tmp_path, *samples(1500, 2, 2.5), train="new_only")
    assert step == "gate"
    assert "on the old data" in why
    assert "on the new data" not in why


@pytest.mark.parametrize("count", [12, 1])
def test_too_few_labels_are_refused_before_anything_is_trained(deployed, tmp_path, count):
    step, why = refusal(deployed, tmp_path, *samples(count, 2, TURNED))
    assert step == "collect"
    assert "too few new labels" in why or "no labelled samples" in why


def test_without_any_new_label_nothing_begins(deployed, tmp_path):
    running = {PROFILE: deployed / "dist" / f"net-{PROFILE}.ewa"}
    found = retrainer(deployed, tmp_path).collect(tmp_path, tmp_path / "new.npz", tmp_path / "earlier.npz", running)
    assert "label" in found.refusal


def parts_of(folder):
    return {name: np.load(folder / f"{name}.npz") for name in ("train", "settle", "search", "old", "fresh", "accept")}


def test_what_judges_is_never_learned_from_in_any_retraining(deployed, tmp_path):
    running = {PROFILE: deployed / "dist" / f"net-{PROFILE}.ewa"}
    x, y = samples(900, 2, TURNED)
    judging, learning = set(), set()
    for number, count in enumerate((600, 900)):  # the second time with more labels, the earlier ones among them
        folder = tmp_path / str(number)
        folder.mkdir()
        made = retrainer(deployed, folder)
        made.collect(folder, labelled(folder, x[:count], y[:count]), folder / "earlier.npz", running)
        found = parts_of(folder)
        judging |= {row.tobytes() for name in ("old", "fresh") for row in found[name]["x"]}
        learning |= {row.tobytes() for name in ("train", "settle", "search") for row in found[name]["x"]}
    assert not judging & learning
    assert len(judging) > 1000


def test_the_reference_of_drift_is_of_the_new_world_alone(deployed, tmp_path):
    running = {PROFILE: deployed / "dist" / f"net-{PROFILE}.ewa"}
    x, y = samples(900, 2, TURNED)
    retrainer(deployed, tmp_path).collect(tmp_path, labelled(tmp_path, x, y), tmp_path / "earlier.npz", running)
    new = {row.tobytes() for row in x}
    assert {row.tobytes() for row in parts_of(tmp_path)["search"]["x"]} <= new


def test_labels_of_earlier_versions_are_the_old_world_by_now(deployed, tmp_path):
    running = {PROFILE: deployed / "dist" / f"net-{PROFILE}.ewa"}
    earlier = samples(400, 5, 0.3)
    labelled(tmp_path, *earlier, name="earlier")
    made = retrainer(deployed, tmp_path, amounts=Amounts(replay=1e6))
    made.collect(tmp_path, labelled(tmp_path, *samples(900, 2, TURNED)), tmp_path / "earlier.npz", running)
    found, known = parts_of(tmp_path), {row.tobytes() for row in earlier[0]}
    held = {row.tobytes() for row in found["old"]["x"]} & known
    learned = {row.tobytes() for row, world in zip(found["train"]["x"], found["train"]["world"], strict=True) if world == "old"}
    assert len(held) > 100
    assert len(learned & known) > 100


def test_the_built_in_training_gives_the_same_bytes_again(deployed, tmp_path):
    running = {PROFILE: deployed / "dist" / f"net-{PROFILE}.ewa"}
    found = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        request = Request(
            data=deployed / "old.npz", train="finetune{epochs=1,batch=256}", amounts=Amounts(replay=0.1), compile=FAST
        )
        made = Retrainer(request, folder / "store", folder / "looks.jsonl")
        made.collect(folder, labelled(folder, *samples(400, 2, TURNED)), folder / "earlier.npz", running)
        told = made.train(folder, deployed / "source.onnx")
        found.append(told.details["source"])
        assert told.details["source_before"] == digest_file(deployed / "source.onnx")
        assert found[-1] == digest_file(folder / "source.onnx") != told.details["source_before"]
    assert found[0] == found[1]


def test_what_is_no_training_is_refused_before_anything_is_done(deployed, tmp_path):
    for text, said in (("canonicalize", "trains nothing"), ("finetune,quantize", "leave it out"), ("fintune", "unknown pass")):
        with pytest.raises(PassError, match=said):
            retrainer(deployed, tmp_path, text)
    made = retrainer(deployed, tmp_path, "nothing")
    save(tmp_path / "train.npz", Samples({"x": np.zeros((1, 8), np.float32)}, np.zeros(1, np.int64)))
    with pytest.raises(PassError, match="must return the path"):
        made.train(tmp_path, deployed / "source.onnx")


@pytest.mark.parametrize("running", [("b",), ("a", "b"), ()])
def test_artifacts_are_judged_beside_those_of_the_same_profiles_only(tmp_path, running):
    made = Retrainer(Request(data="unused.npz"), tmp_path / "store", tmp_path / "looks.jsonl")
    with pytest.raises(UsageError, match="what was compiled is for a, and devices run"):
        made.judge(tmp_path, {"a": tmp_path / "a.ewa"}, {name: tmp_path / f"{name}.ewa" for name in running})


def test_old_data_without_labels_are_refused(deployed, tmp_path):
    np.savez(tmp_path / "bare.npz", x=samples(50, 1)[0])
    running = {PROFILE: deployed / "dist" / f"net-{PROFILE}.ewa"}
    with pytest.raises(DataError, match="the old data have no labels"):
        retrainer(deployed, tmp_path, data=tmp_path / "bare.npz").collect(
            tmp_path, labelled(tmp_path, *samples(100, 2)), tmp_path / "earlier.npz", running
        )
