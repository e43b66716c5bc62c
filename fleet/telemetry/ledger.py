"""The server's side: each window counts once, however often it comes. Pure; who stores it is another matter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ...core.errors import ProtocolError
from ..protocol.window import Batch, Window


@dataclass(frozen=True)
class Accepted:
    """The windows of a batch that are new, by sequence, of one model; `highest` is what the server has after them."""

    model: str
    stream: str
    windows: tuple[tuple[int, Window], ...]
    highest: int


def accept(batch: Batch, highest: Mapping[tuple[str, str], int]) -> Accepted:
    """What of a batch is new; `highest` is the last sequence by (stream, model) of the device that sent it.

    Raises ProtocolError for an empty batch, one of several models, or a window that is none: then nothing of it counts.
    """
    windows = [(sequence, Window.decode(data)) for sequence, data in batch.windows]
    models = {window.model for _, window in windows}
    if len(models) != 1:
        raise ProtocolError("a batch of telemetry has windows of one model, one at least.")
    (model,) = models
    known = highest.get((batch.stream, model), 0)
    fresh = tuple((sequence, window) for sequence, window in windows if sequence > known)
    return Accepted(model, batch.stream, fresh, max(known, windows[-1][0]))
