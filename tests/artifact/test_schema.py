"""docs/schema/manifest.schema.json says what the manifest is, no more and no less."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from edgewright.cli.inspect import inspect
from edgewright.core.artifact import ArtifactContent
from edgewright.core.artifact_read import read_artifact
from edgewright.core.artifact_write import build_artifact
from edgewright.core.errors import ArtifactError
from edgewright.core.manifest import Manifest

SCHEMA = Path(__file__).parents[2] / "docs" / "schema" / "manifest.schema.json"


@pytest.fixture(scope="module")
def validator() -> Any:
    schema = json.loads(SCHEMA.read_text("utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.fixture
def full(content: ArtifactContent) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(json.dumps(read_artifact(build_artifact(content)).manifest.to_json()))
    return value


def test_a_manifest_is_valid(validator: Any, full: dict[str, Any]) -> None:
    validator.validate(full)


def paths(value: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Place of every object's field."""
    found: list[tuple[Any, ...]] = []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        if isinstance(value, dict):
            found.append((*place, key))
        found += paths(item, (*place, key))
    return found


def holder(value: Any, place: tuple[Any, ...]) -> Any:
    for key in place[:-1]:
        value = value[key]
    return value


FREE = {("ledger",), ("preprocessing",)}
OPEN = {"versions", "splits", "ledger", "preprocessing"}
OPTIONAL = {"statistic", "correct"}


def test_what_the_schema_refuses_the_reader_refuses(validator: Any, full: dict[str, Any]) -> None:
    """Each field taken away or made an object of another kind: both refuse, or both accept."""
    for place in paths(full):
        for change in ("take away", "another kind"):
            broken = copy.deepcopy(full)
            if change == "take away":
                del holder(broken, place)[place[-1]]
            else:
                holder(broken, place)[place[-1]] = {"no": [{}]}
            try:
                Manifest.from_json(broken).check()
                read = True
            except ArtifactError:
                read = False
            assert read == validator.is_valid(broken), (place, change)
            optional = place[-1] in OPTIONAL and change == "take away"
            assert not read or place in FREE or set(place) & OPEN or optional, (place, change)


def test_unknown_fields_are_in_neither(validator: Any, full: dict[str, Any]) -> None:
    for place in [
        (),
        ("source",),
        ("target",),
        ("gates", 0),
        ("inputs", 0),
        ("histograms", 0),
        ("histograms", 2),
        ("members", 0),
    ]:
        broken = copy.deepcopy(full)
        holder(broken, (*place, "unknown"))["unknown"] = 1
        assert not validator.is_valid(broken)
        assert Manifest.from_json(broken).to_json() != broken


def test_a_gate_that_did_not_pass_is_in_neither(validator: Any, content: ArtifactContent, full: dict[str, Any]) -> None:
    full["gates"][0]["status"] = "undecided"
    assert not validator.is_valid(full)
    with pytest.raises(ArtifactError, match="undecided"):
        Manifest.from_json(full).check()
    with pytest.raises(ArtifactError, match="undecided"):
        build_artifact(replace(content, manifest=replace(Manifest.from_json(full), members=())))


def test_inspect_prints_a_valid_manifest(validator: Any, content: ArtifactContent, tmp_path: Path) -> None:
    from click.testing import CliRunner

    path = tmp_path / "tiny.ewa"
    path.write_bytes(build_artifact(content))
    validator.validate(json.loads(CliRunner().invoke(inspect, [str(path), "--json"]).output)["manifest"])
