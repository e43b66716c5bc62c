from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def build() -> Any:
    """The module of example reports."""
    spec = importlib.util.spec_from_file_location("report_example", HERE / "example.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def example(build: Any) -> Any:
    return build.example()


@pytest.fixture(scope="session")
def example_page(example: Any) -> str:
    """The page of `example`, which takes a moment to draw."""
    from edgewright.optimizer.report.html import render

    return render(example)


@pytest.fixture(scope="session")
def refused(build: Any) -> Any:
    return build.example_refused()


@pytest.fixture(scope="session")
def trained(build: Any) -> Any:
    return build.example_trained()


@pytest.fixture(scope="session")
def schema() -> Any:
    path = HERE.parents[1] / "docs" / "schema" / "report.schema.json"
    if not path.exists():
        pytest.skip(f"{path} is not here: the tests run without the repository's docs")
    return json.loads(path.read_text(encoding="utf-8"))
