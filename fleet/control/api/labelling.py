"""What the routes of samples and labels take and answer."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field, StringConstraints

from .models import DeviceName, Name, Request, Sha256

MAX_ROWS = 50_000  # of one push

Label = Annotated[str, StringConstraints(min_length=1, max_length=40, pattern=r"^[0-9.eE+-]+$")]
Class = Annotated[int, Field(ge=0, le=2**31 - 1)]


class LabelOfSample(Request):
    """What is true of a sample: a class number, or a number where the model names no classes."""

    sample: Sha256
    label: Label


class LabelOfAnswer(Request):
    """What a device answered at a time, in seconds since 1970, beside what was true; `sha256` null: of what ran there then."""

    device: DeviceName
    at: Annotated[float, Field(ge=0, le=2.0**40)]
    predicted: Class
    label: Class
    sha256: Sha256 | None = None


class NewLabels(Request):
    """Labels of a model: of `samples`, or of `answers`, one of the two."""

    model: Name
    samples: Annotated[list[LabelOfSample], Field(max_length=MAX_ROWS, default_factory=list)]
    answers: Annotated[list[LabelOfAnswer], Field(max_length=MAX_ROWS, default_factory=list)]


class Pushed(BaseModel):
    """A push by its digest; `is_new`: it was not known before; `changed` of its rows say what was not said before."""

    digest: str
    rows: int
    is_new: bool
    changed: int


class Sample(BaseModel):
    """A sample that a device sent, without its arrays; `id` is the SHA-256 of its file, `at` the device's time."""

    id: str
    device: str
    model: str
    sha256: str
    at: float
    received_at: float
    reasons: list[str]
    confidence: float
    predicted: int | None
    bytes: int
    label: str | None
    labelled_at: float | None
    labelled_by: str | None


class Samples(BaseModel):
    """A page of samples by their ids; `next` is the `after` of the next page, or null at the end."""

    samples: list[Sample]
    next: str | None


class SampleFile(Sample):
    """A sample with its file, base64."""

    file: str


class SampleFiles(BaseModel):
    """A page of samples with their files; `next` is the `after` of the next page, or null at the end."""

    samples: list[SampleFile]
    next: str | None
