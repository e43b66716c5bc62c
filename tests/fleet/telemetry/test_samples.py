"""Hard examples: kept only with consent, within the quota, after redaction; never in the way of a request."""

from __future__ import annotations

import numpy as np
import pytest
from edgewright.core.errors import UsageError
from edgewright.fleet.protocol.sample import About
from edgewright.fleet.telemetry import sample_file, samples
from edgewright.fleet.telemetry.samples import Sampler
from edgewright.fleet.telemetry.sampling import MAY_LEAVE, Sampling

X = {"x": np.arange(4, dtype=np.float32)[None]}
SURE, UNSURE = np.array([[9.0, 0.0, 0.0]], np.float32), np.array([[1.0, 1.1, 1.0]], np.float32)


def kept(folder):
    return [sample_file.unpack(path.read_bytes()) for path in sorted(folder.rglob("*.npz"))]


def run(folder, *answers, shadow=None, tensor="y", **options):
    sampler = Sampler(folder, Sampling("A. Person", **options), "digits", "ab" * 32, tensor, {"y": SURE}, shadow)
    for answer in answers:
        sampler.offer(X, {"y": answer}, 0.001)
    sampler.close()
    return sampler


def test_what_the_model_is_unsure_of_is_kept_with_who_agreed(tmp_path):
    run(tmp_path, SURE, UNSURE, SURE)
    ((arrays, about),) = kept(tmp_path)
    assert np.array_equal(arrays["input.x"], X["x"])
    assert np.array_equal(arrays["output.y"], UNSURE)
    assert (about["consent"], about["reasons"], about["artifact"]) == ("A. Person", ["low confidence"], "ab" * 32)
    assert about["confidence"] < 0.5


def test_of_several_samples_in_a_request_the_hard_ones_are_kept(tmp_path):
    sampler = Sampler(tmp_path, Sampling("me"), "digits", "ab" * 32, "y", {"y": SURE})
    sampler.offer({"x": np.arange(12, dtype=np.float32).reshape(3, 4)}, {"y": np.vstack([SURE, UNSURE, SURE])}, 0.0)
    sampler.close()
    ((arrays, _),) = kept(tmp_path)
    assert arrays["input.x"].tolist() == [[4.0, 5.0, 6.0, 7.0]]


def test_a_second_model_that_disagrees_makes_a_sample(tmp_path):
    run(tmp_path, SURE, shadow=lambda inputs: {"y": SURE[:, ::-1]})
    assert [about["reasons"] for _, about in kept(tmp_path)] == [["disagreement"]]
    run(tmp_path, SURE, shadow=lambda inputs: {"y": SURE})
    assert len(kept(tmp_path)) == 1


def test_a_random_share_is_kept_whatever_the_confidence(tmp_path):
    run(tmp_path / "all", SURE, SURE, UNSURE, share=1.0)
    assert [about["reasons"] for _, about in kept(tmp_path / "all")] == [["random"], ["random"], ["random", "low confidence"]]
    sampler = Sampler(tmp_path / "half", Sampling("me", below=0.0, share=0.5), "digits", "ab" * 32, "y", {"y": SURE})
    many = np.repeat(SURE, 400, axis=0)
    sampler.offer({"x": np.zeros((400, 4), np.float32)}, {"y": many}, 0.0)
    sampler.close()
    assert 120 < len(kept(tmp_path / "half")) < 280


def test_what_may_leave_the_device_is_told_apart_and_says_so(tmp_path):
    run(tmp_path, UNSURE)
    run(tmp_path, UNSURE, upload=True)
    here, leaves = sorted(tmp_path.rglob("*.npz"), key=lambda path: path.name.endswith(MAY_LEAVE))
    assert not here.name.endswith(MAY_LEAVE)
    assert leaves.name.endswith(MAY_LEAVE)
    assert [About.read(path.read_bytes()).may_leave for path in (here, leaves)] == [False, True]


def test_an_answer_that_is_no_number_is_as_unsure_as_can_be(tmp_path):
    run(tmp_path, np.full((1, 3), np.nan, np.float32))
    ((_, about),) = kept(tmp_path)
    assert about["confidence"] == 0.0


def test_the_quota_of_a_day_and_of_all_is_held(tmp_path):
    run(tmp_path / "one", UNSURE)
    size = sum(path.stat().st_size for path in (tmp_path / "one").rglob("*.npz"))
    sampler = run(tmp_path / "day", *[UNSURE] * 10, day_bytes=3 * size + 64)
    assert 2 <= len(kept(tmp_path / "day")) <= 3
    assert sampler.passed_over >= 7
    (tmp_path / "all" / "2020-01-01").mkdir(parents=True)
    (tmp_path / "all" / "2020-01-01" / "old.npz").write_bytes(bytes(1000))
    assert run(tmp_path / "all", UNSURE, all_bytes=1000).passed_over == 1


def test_redaction_has_the_last_word(tmp_path, monkeypatch):
    monkeypatch.setattr(samples, "blank", lambda arrays: {name: array * 0 for name, array in arrays.items()}, raising=False)
    monkeypatch.setattr(samples, "nothing", lambda arrays: None, raising=False)
    monkeypatch.setattr(samples, "fails", lambda arrays: 1 / 0, raising=False)
    run(tmp_path / "blank", UNSURE, redact="edgewright.fleet.telemetry.samples:blank")
    ((arrays, _),) = kept(tmp_path / "blank")
    assert not arrays["input.x"].any()
    run(tmp_path / "nothing", UNSURE, redact="edgewright.fleet.telemetry.samples:nothing")
    assert run(tmp_path / "fails", UNSURE, redact="edgewright.fleet.telemetry.samples:fails").passed_over == 1
    assert kept(tmp_path / "nothing") == kept(tmp_path / "fails") == []


def test_a_model_without_confidence_and_a_full_queue_keep_nothing(tmp_path):
    run(tmp_path, UNSURE, tensor=None)
    assert kept(tmp_path) == []
    sampler = Sampler(tmp_path, Sampling("me"), "digits", "ab" * 32, None, {})
    sampler.close()
    for _ in range(40):
        sampler.offer(X, {"y": SURE}, 0.0)
    assert sampler.passed_over == 8


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"consent": " "}, "somebody agreed"),
        ({"consent": "me", "below": 2.0}, "share from 0 to 1"),
        ({"consent": "me", "share": float("nan")}, "share from 0 to 1"),
        ({"consent": "me", "day_bytes": -1}, "below zero"),
        ({"consent": "me", "redact": "nothing"}, "not module:function"),
    ],
)
def test_what_cannot_be_meant_is_refused(options, sentence):
    with pytest.raises(UsageError, match=sentence):
        Sampling(**options)


@pytest.mark.parametrize("hook", ["no_such_module:f", "json:no_such_function", "json:__doc__"])
def test_a_hook_that_is_none_is_refused(tmp_path, hook):
    with pytest.raises(UsageError, match="redaction hook"):
        run(tmp_path, redact=hook)


@pytest.mark.parametrize("body", ["1 / 0", "raise SystemExit(3)", "no python", "import no_such_module"])
def test_a_hook_that_fails_when_it_is_imported_is_refused_in_a_sentence(tmp_path, monkeypatch, body):
    name = f"hook_{abs(hash(body))}"
    (tmp_path / f"{name}.py").write_text(body)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UsageError, match="cannot be imported"):
        run(tmp_path / "samples", redact=f"{name}:f")


def test_samples_are_their_owners_alone(tmp_path):
    run(tmp_path / "telemetry" / "samples", UNSURE)
    found = [tmp_path / "telemetry" / "samples", *(tmp_path / "telemetry" / "samples").rglob("*")]
    assert len(found) == 3
    assert [path.stat().st_mode & 0o077 for path in found] == [0, 0, 0]
