"""A plan: which version goes to which devices in what stages, and by what rules it goes on or back."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

from ...core.artifact_json import Fields
from ...core.errors import ArtifactError, UsageError
from ...stats.sequential import at_least, fewest_without_failure
from ..protocol.offer import check_model, check_version
from .guard import Guard
from .maintenance import MaintenanceWindow
from .query import parse

PLAN_VERSION = 1
MAX_STAGES, MAX_GUARDS, MAX_WINDOWS = 20, 6, 20
MAX_SECONDS = 366 * 86_400.0
Undecided = Literal["pause", "promote"]
UNDECIDED: tuple[Undecided, ...] = get_args(Undecided)
_SHARE = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,6})?)\s*%")
_COUNT = re.compile(r"[1-9][0-9]{0,8}")


@dataclass(frozen=True)
class Stage:
    """Up to so many devices: a `share` in (0, 1] or a `count` of those that plan and `query` mean, earlier stages' included."""

    share: float = 1.0
    count: int | None = None
    query: str = ""

    @staticmethod
    def parse(text: str, query: str = "") -> Stage:
        """ "5%", "20" (devices) or "all"; raises UsageError."""
        told = text.strip()
        share, count = _SHARE.fullmatch(told), _COUNT.fullmatch(told)
        if told == "all":
            return Stage(query=query)
        if count is not None:
            return Stage(count=int(told), query=query)
        if share is None or not 0 < float(share[1]) <= 100:
            raise UsageError(
                f"the stage {text[:100]!r} cannot be read; write a share as 5%, a number of devices as 20, or all."
            )
        return Stage(round(float(share[1]) / 100, 8), query=query)

    def __str__(self) -> str:
        size = str(self.count) if self.count is not None else "all" if self.share == 1 else f"{round(100 * self.share, 6):g}%"
        return f"{size} of {self.query}" if self.query else size

    def to_json(self) -> dict[str, Any]:
        """JSON object with the fields."""
        return {"count": self.count, "query": self.query, "share": float(self.share)}


@dataclass(frozen=True)
class Plan:
    """What is rolled out, to whom, and how it is decided.

    `query` means devices in the language of `fleet.rollout.query`; the first of `stages` is the canary. `allowed` and
    `unacceptable` are rates of devices that fail; `alpha` bounds the probability of a false abort by failures, that of one by
    all guards together, and that of a stage promoted falsely. A device counts as good `observe_s` seconds after it said that
    the version runs, and as silent when it said nothing for `silent_s`. Devices are assigned within `windows` only (always,
    without any), at most `rate` a minute (None: at once). With `needs_approval` a person lets each next stage begin;
    `when_undecided` says what follows when all of a stage answered and no bound was reached. `deadline_s` bounds an update on
    the device. `seed` draws other canaries.
    """

    model: str
    version: int
    query: str = ""
    stages: tuple[Stage, ...] = (Stage(0.05), Stage())
    allowed: float = 0.03
    unacceptable: float = 0.10
    alpha: float = 0.05
    guards: tuple[Guard, ...] = ()
    observe_s: float = 3600.0
    silent_s: float = 86_400.0
    windows: tuple[MaintenanceWindow, ...] = ()
    needs_approval: bool = False
    when_undecided: Undecided = "pause"
    rate: int | None = None
    deadline_s: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise UsageError for a plan that cannot be followed, ProtocolError for a model or version that is none."""
        check_model(self.model)
        check_version(self.version)
        parse(self.query)
        _check_stages(self.stages)
        if not 0 < self.allowed < self.unacceptable < 1:
            raise UsageError(
                f"{self.allowed:g} allowed and {self.unacceptable:g} unacceptable do not fit; allow less than is unacceptable."
            )
        if not 1e-6 <= self.alpha <= 0.5:
            raise UsageError(f"an alpha of {self.alpha:g} is no error level; give for example 0.05.")
        if len({guard.kind for guard in self.guards}) != len(self.guards):
            raise UsageError("a plan has one guard of a kind; leave one out.")
        if len(self.windows) > MAX_WINDOWS:
            raise UsageError(f"a plan has at most {MAX_WINDOWS} maintenance windows; leave some out.")
        for name in ("observe_s", "silent_s"):
            _check_seconds(name, getattr(self, name))
        if self.deadline_s is not None:
            _check_seconds("deadline_s", self.deadline_s)
        if self.rate is not None and not 1 <= self.rate <= 10**6:
            raise UsageError(f"a plan cannot assign {self.rate} devices a minute; give 1 or more, or no rate.")
        if self.when_undecided not in UNDECIDED:
            raise UsageError(f"a plan does not know {self.when_undecided!r} when undecided; give {' or '.join(UNDECIDED)}.")
        if not 0 <= self.seed < 2**53:
            raise UsageError(f"a plan's seed of {self.seed} is none; give a number of at least 0.")

    @property
    def fewest_to_promote(self) -> int:
        """Devices, all of them good, that the evidence for a promotion takes at least; fewer leave a stage undecided."""
        return fewest_without_failure(at_least(self.unacceptable, self.allowed), self.alpha)

    def to_json(self) -> dict[str, Any]:
        """JSON object with the fields."""
        return {
            "allowed": float(self.allowed),
            "alpha": float(self.alpha),
            "deadline_s": None if self.deadline_s is None else float(self.deadline_s),
            "guards": [str(guard) for guard in self.guards],
            "model": self.model,
            "needs_approval": self.needs_approval,
            "observe_s": float(self.observe_s),
            "plan_version": PLAN_VERSION,
            "query": self.query,
            "rate": self.rate,
            "seed": self.seed,
            "silent_s": float(self.silent_s),
            "stages": [stage.to_json() for stage in self.stages],
            "unacceptable": float(self.unacceptable),
            "version": self.version,
            "when_undecided": self.when_undecided,
            "windows": [str(window) for window in self.windows],
        }

    @staticmethod
    def from_json(value: Any) -> Plan:
        """Inverse of `to_json`; raises UsageError for what is missing, unknown or wrong, ProtocolError as the plan does."""
        try:
            return _read(Fields(value, "the plan"), value)
        except ArtifactError as error:
            raise UsageError(str(error)) from error


def _read(read: Fields, value: dict[str, Any]) -> Plan:
    if read.count("plan_version") != PLAN_VERSION:
        raise UsageError(f"the plan is of version {read.count('plan_version')}, and this program reads {PLAN_VERSION}.")
    plan = Plan(
        model=read.text("model"),
        version=read.count("version"),
        query=read.text("query"),
        stages=tuple(
            _stage(Fields(item, f"the plan, stages[{index}]"), item) for index, item in enumerate(read.items("stages"))
        ),
        allowed=_number(read, "allowed"),
        unacceptable=_number(read, "unacceptable"),
        alpha=_number(read, "alpha"),
        guards=tuple(map(Guard.parse, read.texts("guards"))),
        observe_s=_number(read, "observe_s"),
        silent_s=_number(read, "silent_s"),
        windows=tuple(map(MaintenanceWindow.parse, read.texts("windows"))),
        needs_approval=read.flag("needs_approval"),
        when_undecided=cast(Undecided, read.choice("when_undecided", UNDECIDED)),
        rate=read.optional_count("rate"),
        deadline_s=None if read.is_null("deadline_s") else _number(read, "deadline_s"),
        seed=read.count("seed"),
    )
    _check_known(value, plan.to_json(), "the plan")
    return plan


def _stage(read: Fields, value: dict[str, Any]) -> Stage:
    stage = Stage(_number(read, "share"), read.optional_count("count"), read.text("query"))
    _check_known(value, stage.to_json(), "a stage of the plan")
    return stage


def _number(read: Fields, key: str) -> float:
    """A number, whole or not: people write plans."""
    value = read.any(key)
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else read.number(key)


def _check_known(value: dict[str, Any], known: dict[str, Any], what: str) -> None:
    strange = sorted(set(value) - set(known))
    if strange:
        raise UsageError(f"{what} has the field {strange[0][:100]!r}, which this version does not know; leave it out.")


def _check_stages(stages: Sequence[Stage]) -> None:
    if not 1 <= len(stages) <= MAX_STAGES:
        raise UsageError(f"a plan has 1 to {MAX_STAGES} stages, not {len(stages)}.")
    for stage in stages:
        parse(stage.query)
        if not 0 < stage.share <= 1 or (stage.count is not None and not 1 <= stage.count <= 10**9):
            raise UsageError("a stage reaches a share above 0 and up to 1, or a count of at least 1; change the plan.")
    for before, after in itertools.pairwise(stages):
        if before.query != after.query or (before.count is None) != (after.count is None):
            continue
        if (after.count or after.share) <= (before.count or before.share):
            raise UsageError(
                f"the stage {after} reaches nobody after {before}; each stage counts from the first device on, make it larger."
            )


def _check_seconds(name: str, value: float) -> None:
    if not (math.isfinite(value) and 0 <= value <= MAX_SECONDS):
        raise UsageError(f"a plan's {name} of {value:g} is no time; give seconds from 0 to {MAX_SECONDS:.0f}.")
