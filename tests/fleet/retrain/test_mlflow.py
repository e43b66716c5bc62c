"""MLflow is told of a retraining once, by a real tracking store in a folder; without the library nothing asks for it."""

from __future__ import annotations

import pytest
from edgewright.core.errors import UsageError
from edgewright.fleet.retrain.mlflow_tracker import TRACKING_URI, MlflowTracker, tracker_of_environment
from edgewright.fleet.retrain.ports import Lease, NoTracker

LEASE = Lease(3, "digits", "inputs drift.", "collect", (), 0.0, {})
JUDGED = {
    "judged": [{"profile": "pi", "part": "old", "verdicts": [{"gate": "top1 >= -1pt", "measured": 0.01, "bound": -0.002}]}]
}


def test_nobody_is_told_where_no_address_is_set(monkeypatch):
    monkeypatch.delenv(TRACKING_URI, raising=False)
    assert isinstance(tracker_of_environment(), NoTracker)


def test_an_address_without_the_library_is_one_sentence(monkeypatch):
    monkeypatch.setenv(TRACKING_URI, "http://127.0.0.1:1")
    monkeypatch.setitem(__import__("sys").modules, "mlflow", None)
    with pytest.raises(UsageError, match="mlflow is not installed"):
        tracker_of_environment()


def test_a_tracking_server_that_fails_stops_nothing(tmp_path):
    class Failing:
        def __getattr__(self, name):
            raise OSError("it cannot be reached")

    MlflowTracker(Failing()).step(tmp_path, LEASE, "train", {}, {})
    MlflowTracker(Failing()).end(tmp_path, LEASE, "refused", "no better")
    assert list(tmp_path.iterdir()) == []


def test_a_retraining_is_a_run_and_what_was_published_a_version_with_aliases(tmp_path):
    mlflow = pytest.importorskip("mlflow")
    from edgewright.optimizer.ingest.registered import fetch

    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'mlflow.db'}")
    client = mlflow.MlflowClient()
    job = tmp_path / "job"
    job.mkdir()
    source = job / "source.onnx"
    source.write_bytes(b"a model")
    for _ in range(2):  # a worker that was killed tells it again
        tracker = MlflowTracker(client)
        tracker.step(job, LEASE, "train", {"how": "finetune", "seed": 0}, {"source": source})
        tracker.step(job, LEASE, "gate", JUDGED, {})
        tracker.step(job, LEASE, "publish", {"version": 2}, {})
    (run,) = client.search_runs([client.get_experiment_by_name("edgewright/digits").experiment_id])
    assert run.data.params["train.how"] == "finetune"
    assert run.data.metrics["pi/old/top1/bound"] == -0.002
    (version,) = client.search_model_versions("name = 'digits'")
    assert client.get_model_version_by_alias("digits", "canary").version == version.version
    tracker.step(job, LEASE, "sign", {"version": 2}, {})
    assert client.get_model_version_by_alias("digits", "fleet").run_id == run.info.run_id
    assert fetch("models:/digits@fleet", tmp_path / "fetched").read_bytes() == b"a model"
