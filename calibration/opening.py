"""Opening a data set from whatever holds it; samples are read when they are asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import DataError, UsageError, unknown
from ..core.executor import TensorSpec
from .classes import renumbered
from .content import digest_records, hash_record
from .dataset import Batch, Dataset, chunks, has_attributes
from .preprocess import Preprocessing
from .sources.arrays import from_mapping, from_npy, from_npz
from .sources.audio import AUDIO_SUFFIXES, AudioSource
from .sources.callable import call, from_samples, is_callable_name
from .sources.files import FileSource
from .sources.folder import holds, list_folder
from .sources.images import IMAGE_SUFFIXES, ImageSource
from .sources.source import Source

_SUFFIXES = (".npz", ".npy", ".csv", ".parquet", ".pq")


class OpenedDataset:
    """Samples of a source, preprocessed as declared; a `PartialDataset`.

    The digest is of the samples' records in order and of the preprocessing, so digest and index together name one sample.
    `content.content_digest` is the one that does not see the order.
    """

    def __init__(self, source: Source, preprocessing: Preprocessing, classes: Sequence[str] = ()) -> None:
        """`classes` are names of the classes by the model's number, where labels are names; () numbers them sorted."""
        self._source = source
        self.preprocessing = preprocessing
        self._classes = tuple(classes) if source.has_labels else ()
        self._numbers = renumbered(source.classes, self._classes, source.where) if self._classes else None
        for name in preprocessing.inputs:
            if name not in {spec.name for spec in source.inputs}:
                raise UsageError(unknown("preprocessing input", name, [spec.name for spec in source.inputs]))

    @cached_property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """One entry an input, after preprocessing; where files differ in size, the first sample speaks."""
        specs = tuple(self.preprocessing.output(spec) for spec in self._source.inputs)
        if all(size is not None for spec in specs for size in spec.shape[1:]):
            return specs
        first = self._inputs([0])
        return tuple(TensorSpec(spec.name, first[spec.name].dtype.name, (None, *first[spec.name].shape[1:])) for spec in specs)

    @property
    def where(self) -> str:
        """The file or folder, for messages."""
        return self._source.where

    @property
    def arrays(self) -> tuple[str, ...]:
        """Names of the arrays that can be an input."""
        return self._source.arrays

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns."""
        return self._source.columns

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes by label, where labels were names."""
        return self._classes or self._source.classes

    @property
    def has_labels(self) -> bool:
        """Whether there are labels."""
        return self._source.has_labels

    @cached_property
    def digest(self) -> str:
        """SHA-256 of content and preprocessing; reads every sample once."""
        specs = [spec.to_json() for spec in self._source.inputs]
        declaration = {"inputs": specs, "classes": list(self.classes), "preprocessing": self.preprocessing.to_json()}
        return digest_records(self.records(), declaration)

    def __len__(self) -> int:
        """Number of samples."""
        return len(self._source)

    def read(self, indices: Sequence[int]) -> Batch:
        """The samples at `indices`, in that order; raises DataError."""
        indices = self._checked(indices)
        labels = self.labels_at(indices) if self.has_labels else None
        return Batch(self._inputs(indices), labels, self._source.read_columns(self.columns, indices), indices)

    def labels_at(self, indices: Sequence[int]) -> NDArray[Any]:
        """Labels [k, ...] alone."""
        labels = self._source.read_labels(self._checked(indices))
        return labels if self._numbers is None else self._numbers[labels]

    def column_at(self, name: str, indices: Sequence[int]) -> NDArray[Any]:
        """Column `name` [k] alone."""
        if name not in self.columns:
            raise DataError(unknown("column", name, self.columns))
        return self._source.read_columns([name], self._checked(indices))[name]

    def hashes(self) -> tuple[bytes, ...]:
        """SHA-256 of each sample's inputs as they are stored."""
        return self._hashes

    def records(self) -> tuple[bytes, ...]:
        """SHA-256 of each sample's inputs, label and columns together."""
        return self._records

    def with_inputs(self, inputs: Mapping[str, str]) -> OpenedDataset:
        """The same data with these inputs, each fed by the named array."""
        return OpenedDataset(self._source.with_inputs(inputs), self.preprocessing, self._classes)

    @cached_property
    def _hashes(self) -> tuple[bytes, ...]:
        return tuple(self._source.content_hashes())

    @cached_property
    def _records(self) -> tuple[bytes, ...]:
        made: list[bytes] = []
        for piece in chunks(range(len(self))):
            columns = self._source.read_columns(self._source.record_columns, piece)
            parts: dict[str, NDArray[Any]] = {f"column {name}": values for name, values in columns.items()}
            if self.has_labels:
                parts["label"] = self.labels_at(piece)
            for place, index in enumerate(piece):
                made.append(hash_record(self._hashes[index], {name: values[place] for name, values in parts.items()}))
        return tuple(made)

    def _inputs(self, indices: Sequence[int]) -> dict[str, NDArray[Any]]:
        found: dict[str, NDArray[Any]] = {}
        for name, samples in self._source.read_inputs(indices).items():
            apply = self.preprocessing.apply if isinstance(samples, np.ndarray) else self.preprocessing.apply_each
            found[name] = apply(samples, name)  # type: ignore[arg-type]
        return found

    def _checked(self, indices: Sequence[int]) -> Sequence[int]:
        if len(indices) == 0:
            raise DataError(f"no samples of {self.where} were asked for; ask for one at least.")
        for index in indices:
            if not 0 <= index < len(self):
                raise DataError(f"{self.where} has {len(self)} samples and no sample {index}; indices start at 0.")
        return indices


def open_dataset(
    source: str | Path | Mapping[str, Any] | Dataset,
    *,
    labels: str | None = None,
    inputs: Mapping[str, str] | None = None,
    preprocessing: Preprocessing | None = None,
    classes: Sequence[str] = (),
    trust: bool = False,
) -> Dataset:
    """Open .npz, .npy, .csv, .parquet, a folder of images or of audio, `module:function`, arrays by name, or a data set.

    `labels` names the array or column of labels; `inputs` maps a model's input to the array (or table columns "a,b") that
    feeds it. `classes` numbers labels that are names, 0 first. `trust` allows pickled arrays, which can run code.
    Raises DataError, TrustError and UsageError, one sentence each.
    """
    if not isinstance(source, str | Path):
        return _from_object(source, "the data", labels, inputs, preprocessing, classes)
    text = str(source)
    if isinstance(source, str) and is_callable_name(text) and not Path(text).exists():
        return _from_object(call(text), text, labels, inputs, preprocessing, classes)
    path = Path(source)
    if not path.exists():
        raise DataError(f"there is no file or folder {path}; check the path, or name a function as module:function.")
    return OpenedDataset(_from_path(path, labels, inputs, trust), preprocessing or Preprocessing(), classes)


def _from_path(path: Path, labels: str | None, inputs: Mapping[str, str] | None, trust: bool) -> Source:
    if path.is_dir():
        return _from_folder(path, labels, inputs)
    suffix = path.suffix.lower()
    if not path.is_file() or suffix not in _SUFFIXES:
        raise DataError(f"{path} is not data that can be read; give {', '.join(_SUFFIXES[:-1])}, a folder or module:function.")
    if suffix == ".npz":
        return from_npz(path, labels, inputs, trust=trust)
    if suffix == ".npy":
        return from_npy(path, labels, inputs, trust=trust)
    from .sources.table import from_table

    return from_table(path, labels, inputs)


def _from_folder(path: Path, labels: str | None, inputs: Mapping[str, str] | None) -> Source:
    has_images, has_audio = holds(path, IMAGE_SUFFIXES), holds(path, AUDIO_SUFFIXES)
    if has_images and has_audio:
        raise DataError(f"{path} holds images and audio; give a folder with one of them.")
    if not has_images and not has_audio:
        raise DataError(f"{path} holds neither images nor .wav files; put one folder a class into it.")
    if labels is not None:
        raise DataError(f"{path} has its labels in the names of its folders and no array {labels!r}; drop labels={labels}.")
    made: FileSource
    made = ImageSource(list_folder(path, IMAGE_SUFFIXES)) if has_images else AudioSource(list_folder(path, AUDIO_SUFFIXES))
    return made.with_inputs(inputs) if inputs else made


def _from_object(
    value: Any,
    where: str,
    labels: str | None,
    inputs: Mapping[str, str] | None,
    preprocessing: Preprocessing | None,
    classes: Sequence[str],
) -> Dataset:
    if isinstance(value, Mapping):
        return OpenedDataset(from_mapping(value, where, labels, inputs), preprocessing or Preprocessing(), classes)
    if has_attributes(value, ("read", "inputs", "digest")):
        if preprocessing is not None or labels is not None or classes:
            raise UsageError(
                f"{where} is a data set with labels, classes and preprocessing of its own; declare them where it is opened."
            )
        dataset: Dataset = value.with_inputs(inputs) if inputs else value
        return dataset
    if isinstance(value, np.ndarray):
        return OpenedDataset(from_mapping({"x": value}, where, labels, inputs), preprocessing or Preprocessing(), classes)
    if hasattr(value, "__iter__") or hasattr(value, "__getitem__"):
        return OpenedDataset(from_samples(value, where, labels, inputs), preprocessing or Preprocessing(), classes)
    raise DataError(f"{where} is of type {type(value).__name__}; give arrays by name, samples, or a data set.")
