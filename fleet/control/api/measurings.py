"""What the people's API takes and answers of measurings on devices."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from . import models

BenchId = Annotated[int, Field(ge=1, le=2**53)]


class NewBench(models.Request):
    """A signed artifact by SHA-256, the devices that shall measure it, and how; `deadline_s` counts from now."""

    sha256: models.Sha256
    query: models.QueryText
    threads: list[int] = Field([1], min_length=1, max_length=16)
    batches: list[int] = Field([1], min_length=1, max_length=16)
    windows: int = Field(5, ge=1, le=100)
    deadline_s: float = Field(3600.0, ge=60, le=7 * 86400)


class Run(BaseModel):
    """A device's part. `why` tells where a state without figures comes from, `worth` why a latency is nobody's.

    `measurement` and `health` are as docs/schema/bench-1.json has them, null where the device told none.
    """

    id: int
    device: str
    threads: int
    batch: int
    state: Literal["waiting", "taken", "measured", "refused", "failed", "cancelled", "expired", "revoked"]
    why: str
    taken_at: float | None
    ended_at: float | None
    measurement: dict[str, Any] | None
    health: dict[str, Any] | None
    cpu: dict[str, str] | None
    is_emulated: bool
    measured_on: str | None
    worth: str


class Merged(BaseModel):
    """A figure in milliseconds over so many devices; `left_out` were disturbed, or are emulations."""

    threads: int
    batch: int
    figure: str
    devices: int
    left_out: int
    low: float
    middle: float
    high: float


class Bench(BaseModel):
    """A measuring: what was asked, each device's part, and the figures of all."""

    id: int
    name: str
    sha256: str
    model: str
    version: int
    profile: str
    runtime: str
    query: str
    threads: list[int]
    batches: list[int]
    windows: int
    made_at: float
    made_by: str
    expires_at: float
    cancelled_at: float | None
    cancelled_by: str | None
    is_ended: bool
    runs: list[Run]
    merged: list[Merged]


class Benches(BaseModel):
    """Measurings, the newest first."""

    benches: list[Bench]
