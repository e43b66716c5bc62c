"""Folders of audio: .wav files of 16-bit samples, decoded when read, as float32 [samples] or [samples, channels] in [-1, 1)."""

from __future__ import annotations

import hashlib
import wave
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import DataError
from ...core.executor import TensorSpec
from .files import FileSource

AUDIO_SUFFIXES = frozenset({".wav"})
_FULL_SCALE = 32768.0
_LARGEST_FRAMES = 1 << 28


class AudioSource(FileSource):
    """One recording a sample; all have the rate and the channels of the first."""

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """Lengths differ between files, until preprocessing makes them equal."""
        channels = self._form[1]
        return (TensorSpec(self._name, "float32", (None, None) if channels == 1 else (None, None, channels)),)

    def decode(self, path: Path) -> NDArray[Any]:
        """float32 [samples] or [samples, channels]; raises DataError."""
        form, raw = _read(path)
        if form != self._form:
            raise DataError(
                f"{path} has {form[0]} Hz and {form[1]} channels where {self.path(0)} has {self._form[0]} Hz and "
                f"{self._form[1]}; convert all to one form."
            )
        samples = np.frombuffer(raw, "<i2").astype(np.float32) / np.float32(_FULL_SCALE)
        return samples if form[1] == 1 else samples.reshape(-1, form[1])

    def hash(self, path: Path) -> bytes:
        """SHA-256 of the samples, without what a file says about them."""
        form, raw = _read(path)
        return hashlib.sha256(f"{form[0]}|{form[1]}|".encode() + raw).digest()

    @cached_property
    def _form(self) -> tuple[int, int]:
        return _read(self.path(0))[0]


def _read(path: Path) -> tuple[tuple[int, int], bytes]:
    """((rate, channels), bytes of the samples)."""
    try:
        with wave.open(str(path), "rb") as file:
            width, frames = file.getsampwidth(), file.getnframes()
            form = (file.getframerate(), file.getnchannels())
            if width != 2:
                raise DataError(f"{path} has samples of {8 * width} bits; convert it to 16-bit PCM.")
            if frames > _LARGEST_FRAMES or frames * width * form[1] > path.stat().st_size:
                raise DataError(f"{path} declares {frames} frames, more than the file holds; write it anew or remove it.")
            raw = file.readframes(frames)
    except (wave.Error, EOFError, OSError, ValueError, ZeroDivisionError) as error:
        raise DataError(f"{path} is not a .wav file of 16-bit PCM; convert or remove it.") from error
    if len(raw) != frames * width * form[1] or not raw:
        raise DataError(f"{path} ends before its last sample or is empty; write it anew or remove it.")
    return form, raw
