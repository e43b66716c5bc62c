"""A version of a registered model in MLflow as the source of a compile: models:/NAME/VERSION or models:/NAME@ALIAS."""

from __future__ import annotations

from pathlib import Path

from ...core.errors import ModelError, UsageError

SCHEME = "models:/"
_ENDINGS = (".onnx", ".pt2", ".keras", ".h5", ".tflite")


def is_registered(text: str) -> bool:
    """Whether a text names a registered model."""
    return text.startswith(SCHEME)


def fetch(text: str, folder: Path) -> Path:
    """The model's file, brought into `folder`; raises UsageError without the library, ModelError where there is no one file."""
    try:
        import mlflow
        from mlflow.exceptions import MlflowException
    except ModuleNotFoundError as error:
        raise UsageError(
            f"{text} names a registered model, and mlflow is not installed; pip install 'edgewright[mlflow]'."
        ) from error
    folder.mkdir(parents=True, exist_ok=True)
    try:
        place = Path(mlflow.artifacts.download_artifacts(text, dst_path=str(folder)))
    except (MlflowException, OSError) as error:
        said = " ".join(str(error).split()).rstrip(".")[:300]
        raise ModelError(f"{text} cannot be fetched from MLflow ({said}); look at MLFLOW_TRACKING_URI and the name.") from error
    files = [place] if place.is_file() else sorted(path for path in place.rglob("*") if path.suffix in _ENDINGS)
    if len(files) != 1:
        raise ModelError(f"{text} holds {len(files)} model files ({', '.join(_ENDINGS)}); register a version with one.")
    return files[0]
