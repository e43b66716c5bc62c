"""Preprocessing that is declared: one text form, one JSON form, applied the same on every sample everywhere.

The steps run in this order, whatever the order in the text: `length`, `color`, `resize`, `crop`, `scale`, `mean`, `std`,
`layout`, `dtype`. Example: `resize=224,scale=1/255,mean=0.485:0.456:0.406,std=0.229:0.224:0.225,layout=nchw`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import DataError, UsageError, unknown
from ..core.executor import TensorSpec
from .resize import resize_bilinear

_DTYPES = ("float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16")
_LAYOUTS = ("nchw", "nhwc", "nhwc>nchw", "nchw>nhwc")
_COLORS = ("rgb", "bgr", "gray")
_CHANNELS = (1, 3, 4)
_LARGEST_SIDE = 1 << 14


@dataclass(frozen=True)
class Preprocessing:
    """What is done to each input before the model sees it; None and () leave it as it is.

    length: samples of a one-dimensional signal, cropped or padded with zeros at its end. color: "bgr" or "gray" (ITU-R 601)
    from RGB. resize: (height, width), or (side,) for the shorter side. crop: (height, width) around the centre.
    scale: factor. mean, std: `(x - mean) / std`, one number or one a channel. layout: what the model wants, "nchw" or "nhwc"
    (data that lie so already stay), or explicitly "nhwc>nchw". dtype: rounded and kept in range for integers.
    inputs: the inputs that all this is for; none named means all.
    """

    length: int | None = None
    color: str | None = None
    resize: tuple[int, ...] = ()
    crop: tuple[int, ...] = ()
    scale: float | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    layout: str | None = None
    dtype: str | None = None
    inputs: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check every value; raises UsageError."""
        for name, value, known in (("layout", self.layout, _LAYOUTS), ("color", self.color, _COLORS)):
            if value is not None and value not in known:
                raise UsageError(unknown(f"preprocessing {name}", value, known))
        if self.dtype is not None and self.dtype not in _DTYPES:
            raise UsageError(unknown("preprocessing dtype", self.dtype, _DTYPES))
        sides = (*self.resize, *self.crop)
        if any(not 1 <= side <= _LARGEST_SIDE for side in sides) or len(self.resize) > 2 or len(self.crop) not in (0, 2):
            raise UsageError(f"preprocessing sizes must lie between 1 and {_LARGEST_SIDE}, as in resize=224 or resize=240x320.")
        if self.length is not None and self.length < 1:
            raise UsageError("preprocessing length must be at least 1, as in length=16000.")
        numbers = (*self.mean, *self.std, *(() if self.scale is None else (self.scale,)))
        if not all(math.isfinite(number) for number in numbers) or 0.0 in self.std:
            raise UsageError("preprocessing scale, mean and std must be finite numbers, and std not zero.")

    @staticmethod
    def parse(text: str) -> Preprocessing:
        """Read `name=value,name=value`; raises UsageError that offers the nearest name."""
        values: dict[str, Any] = {}
        for part in filter(None, (piece.strip() for piece in text.split(","))):
            name, equals, value = (piece.strip() for piece in part.partition("="))
            if name not in _READERS:
                raise UsageError(unknown("preprocessing step", name, _READERS))
            if not equals or not value or name in values:
                raise UsageError(f"preprocessing step {part!r} must be given once, as {name}=VALUE.")
            try:
                values[name] = _READERS[name](value)
            except (ValueError, ZeroDivisionError, OverflowError) as error:
                raise UsageError(
                    f"preprocessing step {part!r} has a value that cannot be read; write {_EXAMPLES[name]}."
                ) from error
        return Preprocessing(**values)

    def __str__(self) -> str:
        """The text form; `parse` gives the same back."""
        return ",".join(
            f"{field.name}={_WRITERS[field.name](value)}"
            for field in fields(self)
            if _is_set(value := getattr(self, field.name))
        )

    def to_json(self) -> dict[str, Any]:
        """JSON object with what is set."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items() if _is_set(value)}

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Preprocessing:
        """Inverse of `to_json`; raises UsageError on an unknown field."""
        for name in value:
            if name not in _READERS:
                raise UsageError(unknown("preprocessing step", name, _READERS))
        given: dict[str, Any] = {name: tuple(entry) if isinstance(entry, list) else entry for name, entry in value.items()}
        return Preprocessing(**given)

    def covers(self, name: str) -> bool:
        """Whether input `name` is preprocessed."""
        return not self.inputs or name in self.inputs

    def output(self, spec: TensorSpec) -> TensorSpec:
        """The specification after preprocessing, tried on one sample of zeros; raises DataError where a step does not fit."""
        if not self.covers(spec.name) or spec.dtype == "str" or any(size is None for size in spec.shape[1:]):
            return spec
        sample = np.zeros((1, *(size or 0 for size in spec.shape[1:])), spec.dtype)
        made = self.apply(sample, spec.name)
        return TensorSpec(spec.name, made.dtype.name, (None, *made.shape[1:]))

    def apply(self, array: NDArray[Any], name: str = "x") -> NDArray[Any]:
        """Samples [n, ...] of input `name` as the model wants them; raises DataError where a step does not fit the shape."""
        if not self.covers(name) or array.dtype.kind in "US":
            return array
        if self.length is not None:
            array = _fit_length(array, self.length, name)
        if self.color or self.resize or self.crop:
            array = self._spatial(array, name)
        if self.scale is not None or self.mean or self.std:
            array = self._numbers(array, name)
        if self.layout is not None:
            array = _to_layout(array, self.layout, name)
        if self.dtype is not None:
            array = _cast(array, np.dtype(self.dtype), name)
        return array

    def apply_each(self, samples: Iterable[NDArray[Any]], name: str = "x") -> NDArray[Any]:
        """Samples of differing shapes, one at a time, as one array [n, ...]; raises DataError where they still differ."""
        made: list[NDArray[Any]] = []
        for sample in samples:
            made.append(self.apply(sample[None], name)[0])
            if made[-1].shape != made[0].shape:
                raise DataError(
                    f"samples of input {name!r} have shapes {list(made[0].shape)} and {list(made[-1].shape)}; "
                    "bring them to one size with preprocessing resize=SIZE or length=SAMPLES."
                )
        return np.stack(made)

    def _spatial(self, array: NDArray[Any], name: str) -> NDArray[Any]:
        is_plain = array.ndim == 3
        channels = -1 if is_plain else _channel_axis(array.shape, self.layout, name)
        images = array[..., None] if is_plain else np.moveaxis(array, channels, -1)
        if self.color is not None:
            images = _recolor(images, self.color, name)
        if self.resize:
            images = resize_bilinear(images, *_target(images.shape[1:3], self.resize))
        if self.crop:
            images = _crop(images, self.crop, name)
        return np.ascontiguousarray(images[..., 0] if is_plain and images.shape[-1] == 1 else np.moveaxis(images, -1, channels))

    def _numbers(self, array: NDArray[Any], name: str) -> NDArray[Any]:
        wide: NDArray[np.floating[Any]] = array.astype(np.float64 if array.dtype == np.float64 else np.float32)
        if self.scale is not None:
            wide = wide * wide.dtype.type(self.scale)
        if self.mean:
            wide = wide - _per_channel(self.mean, wide, self.layout, name)
        if self.std:
            wide = wide / _per_channel(self.std, wide, self.layout, name)
        return wide


def _is_set(value: Any) -> bool:
    return value is not None and value != ()


def _fit_length(array: NDArray[Any], length: int, name: str) -> NDArray[Any]:
    if array.ndim not in (2, 3):
        raise DataError(
            f"length={length} is for signals [n, samples], and input {name!r} has shape {list(array.shape)}; drop it."
        )
    if array.shape[1] >= length:
        return np.ascontiguousarray(array[:, :length])
    padding = [(0, 0), (0, length - array.shape[1]), *[(0, 0)] * (array.ndim - 2)]
    return np.pad(array, padding)


def _channel_axis(shape: tuple[int, ...], layout: str | None, name: str) -> int:
    """The channels' axis in the data as they come."""
    if len(shape) != 4:
        raise DataError(
            f"input {name!r} has shape {list(shape)} and is no batch of images [n, h, w, c]; "
            "drop the step that needs one, or name the inputs that it is for with inputs=NAME."
        )
    if layout is not None and ">" in layout:
        return -1 if layout.startswith("nhwc") else 1
    last, second = shape[3] in _CHANNELS, shape[1] in _CHANNELS
    if last != second:
        return -1 if last else 1
    # Neither or both look like channels: who asks for a layout has the other one.
    return 1 if layout == "nhwc" else -1


def _to_layout(array: NDArray[Any], layout: str, name: str) -> NDArray[Any]:
    if array.ndim == 3:  # grey images without a channel axis
        return array[:, None] if layout.endswith("nchw") else array[..., None]
    axis = _channel_axis(array.shape, layout, name)
    wanted = 1 if layout.endswith("nchw") else -1
    return array if axis == wanted else np.ascontiguousarray(np.moveaxis(array, axis, wanted))


def _per_channel(values: tuple[float, ...], array: NDArray[Any], layout: str | None, name: str) -> NDArray[Any]:
    if len(values) == 1:
        return np.asarray(values[0], array.dtype)
    axis = _channel_axis(array.shape, layout, name) if array.ndim == 4 else -1
    if array.ndim < 2 or array.shape[axis] != len(values):
        raise DataError(
            f"{len(values)} numbers for mean or std do not fit input {name!r} of shape {list(array.shape)}; "
            "give one number, or one a channel."
        )
    shape = [1] * array.ndim
    shape[axis] = len(values)
    return np.asarray(values, array.dtype).reshape(shape)


def _recolor(images: NDArray[Any], color: str, name: str) -> NDArray[Any]:
    if color == "rgb":
        return images
    if images.shape[-1] != 3:
        raise DataError(f"color={color} needs RGB images and input {name!r} has {images.shape[-1]} channels; drop it.")
    if color == "bgr":
        return images[..., ::-1]
    if images.dtype == np.uint8:  # Pillow's integers, so that a grey file and a converted one agree
        return ((images.astype(np.uint32) @ np.array([[19595], [38470], [7471]], np.uint32) + 0x8000) >> 16).astype(np.uint8)
    grey: NDArray[Any] = (images @ np.array([[0.299], [0.587], [0.114]], np.float32)).astype(images.dtype)
    return grey


def _target(now: tuple[int, ...], size: tuple[int, ...]) -> tuple[int, int]:
    if len(size) == 2:
        return size[0], size[1]
    height, width = now
    short = size[0]
    return (short, max(1, width * short // height)) if height <= width else (max(1, height * short // width), short)


def _crop(images: NDArray[Any], size: tuple[int, ...], name: str) -> NDArray[Any]:
    height, width = images.shape[1:3]
    if height < size[0] or width < size[1]:
        raise DataError(
            f"crop={size[0]}x{size[1]} is larger than a sample of input {name!r}, {height}x{width}; resize first or crop less."
        )
    top, left = round((height - size[0]) / 2), round((width - size[1]) / 2)
    return images[:, top : top + size[0], left : left + size[1]]


def _cast(array: NDArray[Any], dtype: np.dtype[Any], name: str) -> NDArray[Any]:
    if array.dtype.kind not in "biuf":
        raise DataError(f"input {name!r} of type {array.dtype} cannot be cast to {dtype}; give numbers.")
    if dtype.kind not in "iu" or array.dtype.kind == "b":
        return array.astype(dtype, copy=False)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise DataError(f"input {name!r} has a NaN or an infinity, which {dtype} cannot hold; remove that sample.")
    limits = np.iinfo(dtype)
    # In double precision the ends of int32 are exact.
    rounded = np.rint(array.astype(np.float64)) if array.dtype.kind == "f" else array
    made: NDArray[Any] = np.clip(rounded, limits.min, limits.max).astype(dtype)
    return made


def _read_size(text: str) -> tuple[int, ...]:
    if text.startswith("short"):
        return (int(text.removeprefix("short")),)
    sides = tuple(int(side) for side in text.split("x"))
    if len(sides) > 2:
        raise ValueError(text)
    return sides if len(sides) == 2 else (sides[0], sides[0])


def _write_size(size: tuple[int, ...]) -> str:
    if len(size) == 1:
        return f"short{size[0]}"
    return str(size[0]) if size[0] == size[1] else f"{size[0]}x{size[1]}"


def _read_number(text: str) -> float:
    over, slash, under = text.partition("/")
    return float(over) / float(under) if slash else float(over)


def _read_numbers(text: str) -> tuple[float, ...]:
    return tuple(_read_number(part) for part in text.split(":"))


def _write_number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else repr(float(value))


def _write_numbers(values: tuple[float, ...]) -> str:
    return ":".join(_write_number(value) for value in values)


_READERS: Mapping[str, Callable[[str], Any]] = {
    "length": int,
    "color": str.lower,
    "resize": _read_size,
    "crop": _read_size,
    "scale": _read_number,
    "mean": _read_numbers,
    "std": _read_numbers,
    "layout": str.lower,
    "dtype": str.lower,
    "inputs": lambda text: tuple(text.split(":")),
}
_WRITERS: Mapping[str, Callable[[Any], str]] = {
    **dict.fromkeys(("length", "color", "layout", "dtype"), str),
    "resize": _write_size,
    "crop": _write_size,
    "scale": _write_number,
    "mean": _write_numbers,
    "std": _write_numbers,
    "inputs": ":".join,
}
_EXAMPLES: Mapping[str, str] = {
    "length": "length=16000",
    "color": "color=gray",
    "resize": "resize=224, resize=240x320 or resize=short256",
    "crop": "crop=224 or crop=240x320",
    "scale": "scale=1/255",
    "mean": "mean=127.5 or mean=0.485:0.456:0.406",
    "std": "std=127.5 or std=0.229:0.224:0.225",
    "layout": "layout=nchw",
    "dtype": "dtype=float32",
    "inputs": "inputs=NAME:NAME",
}
