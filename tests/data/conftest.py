"""Small data sets in every format."""

from __future__ import annotations

import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEWRIGHT_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    return {
        "x": rng.normal(size=(40, 6, 5, 3)).astype(np.float32),
        "y": rng.integers(0, 4, 40),
        "sex": np.array(["f", "m"] * 20),
        "age": rng.integers(18, 90, 40),
        "class_names": np.array(["a", "b", "c", "d"]),
    }


@pytest.fixture
def image_folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(2)
    root = tmp_path / "images"
    for name in ("dog", "cat", "ant"):
        (root / name).mkdir(parents=True)
        for index in range(3):
            pixels = rng.integers(0, 256, (12 + index, 16, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(root / name / f"{index}.png")
    (root / ".hidden").mkdir()
    (root / "dog" / "notes.txt").write_text("passed over")
    return root


@pytest.fixture
def write_wav() -> Callable[..., Path]:
    def write(path: Path, samples: np.ndarray, rate: int = 16000, width: int = 2) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        with wave.open(str(path), "wb") as file:
            file.setnchannels(1 if samples.ndim == 1 else samples.shape[1])
            file.setsampwidth(width)
            file.setframerate(rate)
            file.writeframes(samples.tobytes())
        return path

    return write
