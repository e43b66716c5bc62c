"""MLflow beside the audit log: each retraining a run, what was published a model version with an alias. An optional library.

What is told there is a copy for people: a tracking server that cannot be reached delays nothing and changes nothing.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...core.canonical import dumps
from ...core.errors import UsageError
from ...core.files import write_atomic
from .ports import Lease, NoTracker, Tracker

log = logging.getLogger("edgewright.retrain")

TRACKING_URI = "MLFLOW_TRACKING_URI"
CANARY, FLEET = "canary", "fleet"  # aliases of model versions
_LONGEST = 500  # characters of a parameter or tag
_KEPT = "mlflow.json"  # in a job's folder: its run, the version that was registered


def tracker_of_environment() -> Tracker:
    """A tracker where MLFLOW_TRACKING_URI is set; raises UsageError where the library is not installed."""
    if not os.environ.get(TRACKING_URI):
        return NoTracker()
    try:
        import mlflow
    except ModuleNotFoundError as error:
        raise UsageError(f"{TRACKING_URI} is set and mlflow is not installed; pip install 'edgewright[mlflow]'.") from error
    return MlflowTracker(mlflow.MlflowClient())


class MlflowTracker:
    """Tells an MLflow server; `client` is an `mlflow.MlflowClient`."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def step(self, folder: Path, lease: Lease, step: str, details: Mapping[str, Any], files: Mapping[str, Path]) -> None:
        """Log a step once: its parameters, its gates' figures, the trained source, the version that was published."""
        self._tried(lambda: self._step(folder, lease, step, details, files))

    def end(self, folder: Path, lease: Lease, state: str, why: str) -> None:
        """End the run of a retraining that was refused or failed."""

        def told() -> None:
            run = self._run(folder, lease)["run"]
            self._client.set_tag(run, "why", why[:_LONGEST])
            self._client.set_terminated(run, "FAILED" if state == "failed" else "FINISHED")

        self._tried(told)

    def _step(self, folder: Path, lease: Lease, step: str, details: Mapping[str, Any], files: Mapping[str, Path]) -> None:
        kept = self._run(folder, lease)
        if step in kept["steps"]:
            return
        run = kept["run"]
        for name, value in details.items():
            if isinstance(value, (str, int, float)):
                self._client.log_param(run, f"{step}.{name}", str(value)[:_LONGEST])
        for name, value in _metrics(details).items():
            self._client.log_metric(run, name, value)
        if step == "train":
            self._client.log_artifact(run, str(files["source"]), "source")
        if step == "publish":
            kept["version"] = self._registered(lease, run, details)
        if step in ("publish", "sign"):
            alias = CANARY if step == "publish" else FLEET
            self._client.set_registered_model_alias(lease.model, alias, kept["version"])
            self._client.set_terminated(run)
        self._keep(folder, {**kept, "steps": [*kept["steps"], step]})

    def _run(self, folder: Path, lease: Lease) -> dict[str, Any]:
        """The run of a job, which is begun where it was not."""
        place = folder / _KEPT
        if place.is_file():
            kept: dict[str, Any] = json.loads(place.read_bytes())
            return kept
        name = f"edgewright/{lease.model}"
        known = self._client.get_experiment_by_name(name)
        experiment = self._client.create_experiment(name) if known is None else known.experiment_id
        tags = {"mlflow.runName": f"retraining {lease.number}", "edgewright.retraining": str(lease.number)}
        run = self._client.create_run(experiment, tags={**tags, "edgewright.why": lease.why[:_LONGEST]})
        made = {"run": run.info.run_id, "steps": [], "version": None}
        self._keep(folder, made)
        return made

    def _registered(self, lease: Lease, run: str, details: Mapping[str, Any]) -> str:
        """The version of the registered model that the published artifacts were compiled from."""
        from mlflow.exceptions import MlflowException

        try:
            self._client.create_registered_model(lease.model)
        except MlflowException:  # it is there already
            self._client.get_registered_model(lease.model)
        uri = f"{self._client.get_run(run).info.artifact_uri}/source"
        tags = {"edgewright.version": str(details["version"]), "edgewright.retraining": str(lease.number)}
        return str(self._client.create_model_version(lease.model, uri, run, tags=tags).version)

    def _keep(self, folder: Path, kept: Mapping[str, Any]) -> None:
        write_atomic(folder / _KEPT, dumps(dict(kept)))

    def _tried(self, work: Any) -> None:
        """Whatever a tracking server says is no reason to stop a retraining."""
        try:
            work()
        except Exception as error:
            log.warning("MLflow was not told: %s: %s", type(error).__name__, " ".join(str(error).split())[:300])


def _metrics(details: Mapping[str, Any]) -> dict[str, float]:
    """The gates' figures by profile, part and gate, as names that MLflow takes."""
    found: dict[str, float] = {}
    for item in details.get("judged", ()):
        for verdict in item.get("verdicts", ()) if isinstance(item, Mapping) else ():
            metric = str(verdict["gate"]).split(" ")[0]
            for name in ("reference", "candidate", "measured", "bound"):
                value = verdict.get(name)
                if value is not None:
                    found[f"{item['profile']}/{item['part']}/{metric}/{name}"] = float(value)
    return found
