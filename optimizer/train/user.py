"""What a user brings to training, each `module:function` or `file.py:function` that he named himself: loss, optimizer, augment.

Signatures, where `torch.nn.functional` and `torch.optim` are at hand:

- `loss(outputs, labels, inputs) -> Tensor`: `outputs` and `inputs` are dicts of tensors [n, ...] by the graph's names,
  `labels` a tensor [n, ...] or None; returns one number, the mean over the batch.
- `optimizer(groups, lr) -> torch.optim.Optimizer`: `groups` is a list of dicts with `params` and `weight_decay`, as torch takes
  it (so `torch.optim:Adam` is one); `lr` is the highest learning rate, which the schedule scales.
- `augment(inputs, generator) -> dict`: changes inputs [n, ...] of one batch, on the CPU; all chance must come from `generator`
  (a `torch.Generator` that is seeded anew for every step, so that a run that was killed goes on to the same result). Labels
  stay as they are.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...calibration.sources.callable import function_of, is_callable_name
from ...core.canonical import digest, digest_file
from ...core.errors import EdgewrightError, PassError, UsageError


@dataclass(frozen=True)
class UserFunction:
    """A function of the user's: the text that names it, the function, and the SHA-256 of the file that it stands in."""

    name: str
    call: Callable[..., Any]
    digest: str

    @staticmethod
    def load(name: str) -> UserFunction:
        """The function that `name` means; runs the user's code, so only for what he named. Raises UsageError."""
        if not is_callable_name(name):
            raise UsageError(f"{name!r} names no function; write module:function or file.py:function.")
        found = function_of(name)
        try:
            file = inspect.getsourcefile(found)
        except TypeError:  # a function of a compiled module
            file = None
        known = digest_file(Path(file)) if file is not None and Path(file).is_file() else digest(name.encode())
        return UserFunction(name, found, known)


@dataclass(frozen=True)
class UserCode:
    """What the user brings; None is the default of the pass."""

    loss: UserFunction | None = None
    optimizer: UserFunction | None = None
    augment: UserFunction | None = None

    @staticmethod
    def load(loss: str | None = None, optimizer: str | None = None, augment: str | None = None) -> UserCode:
        """Load each function that is named; raises UsageError."""
        given = (None if name is None else UserFunction.load(name) for name in (loss, optimizer, augment))
        return UserCode(*given)

    def to_json(self) -> list[list[str] | None]:
        """What a result depends on: name and digest of each function."""
        return [None if item is None else [item.name, item.digest] for item in (self.loss, self.optimizer, self.augment)]


@contextmanager
def blame(function: UserFunction, what: str) -> Iterator[None]:
    """Whatever the user's function raises, as one sentence that names it: a PassError."""
    try:
        yield
    except EdgewrightError:
        raise
    except (Exception, SystemExit) as error:  # the user's code may raise anything
        said = " ".join(str(error).split()).replace(". ", ", ").rstrip(".") or "no message"
        raise PassError(
            f"the {what} {function.name!r} failed with {type(error).__name__} ({said[:160]}); call it on its own to see why."
        ) from error
