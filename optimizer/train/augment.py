"""Built-in changes of training images, and the user's own.

None is the default. The compiler cannot know which changes leave an answer as it is: a mirrored 2 is no 2, a shifted spectrum
is another sound, a cropped document loses its date. So nothing is changed until a person says what may be.
"""

from __future__ import annotations

import torch

from ...core.errors import PassError
from .batches import Augment
from .schedule import Schedule
from .user import UserFunction, blame

_SHIFT_SHARE = 8  # an image moves by up to this part of its side: 4 pixels of 32
_CHANNELS = (1, 3, 4)


def augmentation(schedule: Schedule, user: UserFunction | None) -> Augment | None:
    """The change that `schedule` and the user ask for, built-in first, or None; raises PassError where an input is no image."""
    flips, shifts = "flip" in schedule.augment, "shift" in schedule.augment
    if not flips and not shifts and user is None:
        return None

    def change(inputs: dict[str, torch.Tensor], generator: torch.Generator) -> dict[str, torch.Tensor]:
        if flips or shifts:
            inputs = _change_images(inputs, generator, flips=flips, shifts=shifts)
        return inputs if user is None else _by_user(user, inputs, generator)

    return change


def _change_images(
    inputs: dict[str, torch.Tensor], generator: torch.Generator, *, flips: bool, shifts: bool
) -> dict[str, torch.Tensor]:
    images = [name for name, tensor in inputs.items() if _channel_axis(tensor) is not None]
    if not images:
        told = ", ".join(f"{name!r} {list(tensor.shape[1:])}" for name, tensor in inputs.items())
        raise PassError(f"augment changes images, and the inputs ({told}) are none; drop it, or bring a function of your own.")
    changed = dict(inputs)
    for name in images:
        image = inputs[name].movedim(-1, 1) if _channel_axis(inputs[name]) == 3 else inputs[name]
        if shifts:
            image = shifted(image, generator)
        if flips:
            image = flipped(image, generator)
        changed[name] = (image.movedim(1, -1) if _channel_axis(inputs[name]) == 3 else image).contiguous()
    return changed


def flipped(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Images [n, c, h, w], about half of them mirrored left to right."""
    chosen = torch.rand(len(images), generator=generator) < 0.5
    return torch.where(chosen[:, None, None, None], images.flip(3), images)


def shifted(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Images [n, c, h, w], each moved by up to an eighth of its sides, the border repeated."""
    count, _, height, width = images.shape
    rows = _moved(height, count, generator)
    columns = _moved(width, count, generator)
    index = torch.arange(count)[:, None, None]
    return images[index, :, rows[:, :, None], columns[:, None, :]].movedim(-1, 1)


def _moved(size: int, count: int, generator: torch.Generator) -> torch.Tensor:
    """Positions [count, size] that an axis reads from."""
    most = size // _SHIFT_SHARE
    by = torch.randint(-most, most + 1, (count, 1), generator=generator)
    return (torch.arange(size)[None, :] + by).clamp(0, size - 1)


def _channel_axis(tensor: torch.Tensor) -> int | None:
    """The axis of an image's channels; None where the tensor is no batch of images."""
    if tensor.ndim != 4 or not tensor.is_floating_point():
        return None
    return next((axis for axis in (1, 3) if tensor.shape[axis] in _CHANNELS), None)


def _by_user(user: UserFunction, inputs: dict[str, torch.Tensor], generator: torch.Generator) -> dict[str, torch.Tensor]:
    with blame(user, "augmentation"):
        changed = user.call(dict(inputs), generator)
    if not isinstance(changed, dict) or set(changed) != set(inputs):
        raise PassError(f"the augmentation {user.name!r} must return the inputs {sorted(inputs)} as a dict of tensors.")
    for name, tensor in changed.items():
        before = inputs[name]
        if not isinstance(tensor, torch.Tensor) or tensor.shape != before.shape or tensor.dtype != before.dtype:
            raise PassError(
                f"the augmentation {user.name!r} must return {name!r} as a tensor of {before.dtype} {list(before.shape)}, "
                "as it was given."
            )
    return changed
