"""What a worker is told of a model, from TOML: its old world, how it is trained, what must hold, how it is rolled out."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from ...core.errors import UsageError, unknown
from ..protocol.offer import check_model
from ..rollout.guard import Guard
from ..rollout.maintenance import MaintenanceWindow
from ..rollout.plan import Plan, Stage

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

CANARY_QUERY = "canary = yes"  # what `edgewright agent --canary` tells when it enrols
_PLAN_LISTS = ("stages", "guards", "windows")


@dataclass(frozen=True)
class Settings:
    """A model that a worker trains again.

    `source` is the model that the deployed version was compiled from, `data` (and `accept`, to judge by) the old world. `train`
    is a pipeline of passes or `module:function`. `held_out` and `search` are shares of the new labels that judge and that
    choose, `replay` how many old samples at most are learned from for a new one. `old` and `new` are gates against the
    deployed version; `compile` further options of a compile. `canary` and `fleet` are fields of the plans of its rollouts.
    """

    model: str
    source: Path
    data: str | Path
    accept: str | Path | None = None
    labels: str | None = None
    preprocess: str | None = None
    classes: tuple[str, ...] = ()
    train: str = "distill{epochs=10,teacher-weight=0.3}"
    held_out: float = 0.4
    search: float = 0.2
    replay: float = 4.0
    old: tuple[str, ...] = ()
    new: tuple[str, ...] = ()
    budget: str | None = None
    seed: int = 0
    compile: Mapping[str, Any] = field(default_factory=dict)
    canary: Mapping[str, Any] = field(default_factory=dict)
    fleet: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check what needs no file; raises UsageError, ProtocolError."""
        check_model(self.model)
        for name in ("held_out", "search"):
            if not 0 < getattr(self, name) < 1:
                raise UsageError(f"{name.replace('_', '-')} is {getattr(self, name)}; give a share above 0 and below 1.")
        if self.held_out + self.search >= 1:
            raise UsageError("held-out and search together leave nothing to learn from; make them less than 1 together.")
        if not 0 <= self.replay <= 1e6:
            raise UsageError(f"replay is {self.replay}; give how many old samples there may be for a new one, 0 or more.")
        self.canary_plan(1)
        self.fleet_plan(1)

    def canary_plan(self, version: int) -> Plan:
        """The plan of the canary's rollout: by default all devices that take canaries, at once."""
        return _plan(self.model, version, {"query": CANARY_QUERY, "stages": ["all"], **self.canary}, "canary")

    def fleet_plan(self, version: int) -> Plan:
        """The plan of the rollout to all."""
        return _plan(self.model, version, self.fleet, "fleet")


def read_settings(path: Path) -> Settings:
    """The settings in a TOML file, relative paths taken from its folder; raises UsageError."""
    try:
        told: dict[str, Any] = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}; check the path.") from error
    except ValueError as error:  # no UTF-8, or no TOML
        raise UsageError(f"{path} is not TOML: {str(error).rstrip('.')}; correct it there.") from error
    known = {item.name: item for item in fields(Settings)}
    values: dict[str, Any] = {}
    for key, value in told.items():
        name = key.replace("-", "_")
        if name not in known:
            raise UsageError(f"{path}: {unknown('key', key, [item.replace('_', '-') for item in known])}")
        values[name] = _value(path, name, value)
    for name in ("model", "source", "data"):
        if name not in values:
            raise UsageError(f'{path} does not say {name}; add `{name} = "..."`.')
    return Settings(**values)


def _value(path: Path, name: str, value: Any) -> Any:
    if name in ("source", "data", "accept"):
        if not isinstance(value, str):
            raise UsageError(f"{path}: {name} must be a text; put it in quotes.")
        return value if ":" in value and name != "source" else path.parent / value
    if name in ("old", "new", "classes"):
        items = [value] if isinstance(value, str) else value
        if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
            raise UsageError(f"{path}: {name} must be a text or a list of texts.")
        return tuple(items)
    if name in ("compile", "canary", "fleet"):
        if not isinstance(value, dict):
            raise UsageError(f"{path}: {name} must be a table; begin it with [{name}].")
        return {key.replace("-", "_"): item for key, item in value.items()}
    if name in ("held_out", "search", "replay"):
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise UsageError(f"{path}: {name.replace('_', '-')} must be a number.")
        return float(value)
    wanted = int if name == "seed" else str
    if not isinstance(value, wanted) or isinstance(value, bool):
        raise UsageError(f"{path}: {name} must be {'a whole number' if wanted is int else 'a text'}; correct it there.")
    if name == "train" and ".py:" in str(value) and not Path(str(value).partition(":")[0]).is_absolute():
        return str(path.parent.resolve() / str(value))
    return value


def _plan(model: str, version: int, told: Mapping[str, Any], name: str) -> Plan:
    """A plan of these fields; raises UsageError that names the table."""
    known = [item.name for item in fields(Plan) if item.name not in ("model", "version")]
    for key in told:
        if key not in known:
            raise UsageError(f"[{name}]: {unknown('field of a plan', key, known)}")
    values = dict(told)
    for key in _PLAN_LISTS:
        if key in values and not (isinstance(values[key], list) and all(isinstance(item, str) for item in values[key])):
            raise UsageError(f'[{name}]: {key} must be a list of texts, as ["5%", "all"].')
    made: dict[str, Any] = {
        "stages": lambda items: tuple(_stage(item) for item in items),
        "guards": lambda items: tuple(map(Guard.parse, items)),
        "windows": lambda items: tuple(map(MaintenanceWindow.parse, items)),
    }
    try:
        return Plan(model, version, **{key: made[key](value) if key in made else value for key, value in values.items()})
    except TypeError as error:
        raise UsageError(
            f"[{name}]: a field is of the wrong kind ({error}); docs/fleet/rollouts.md says what each takes."
        ) from error


def _stage(text: str) -> Stage:
    size, _, query = text.partition(" of ")
    return Stage.parse(size, query.strip())
