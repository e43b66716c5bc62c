"""What is known of a kept example: the JSON in its file, read without unpacking the example itself.

The file is an .npz (fleet.telemetry.sample_file); its member `__about__.npy` is an array of bytes that are canonical JSON.
Needs no numpy: the updater sends such files, and the control plane looks no deeper when they come.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
import zlib
from dataclasses import dataclass

from ...core.artifact_json import Fields
from ...core.errors import ArtifactError, ProtocolError
from .offer import check_model

MAX_SAMPLE_BYTES = 1 << 20
ABOUT = "__about__"
RANDOM, HARD, DISAGREEMENT = "random", "low confidence", "disagreement"  # why an example was kept

_MAX_ABOUT_BYTES = 16 << 10
_MAX_MEMBERS = 1001
_MAX_TIME = 2.0**40  # seconds since 1970
_MAX_CLASS = 2**31 - 1
_HEADER = re.compile(rb"\{'descr': '\|u1', 'fortran_order': False, 'shape': \((\d{1,6}),\), \} *\n")
_BROKEN = (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, OSError, EOFError, ValueError, RecursionError)


@dataclass(frozen=True)
class About:
    """Of which artifact and when (seconds since 1970, the device's clock) an example is, and why it was kept.

    `predicted` is the class that the artifact answered, None where it was not told. `may_leave`: whoever is named in `consent`
    agreed that it leaves the device.
    """

    model: str
    sha256: str
    at: float
    confidence: float
    predicted: int | None
    reasons: tuple[str, ...]
    consent: str
    may_leave: bool

    @staticmethod
    def read(data: bytes) -> About:
        """What the file of an example says of it; raises ProtocolError for a file that is none."""
        if len(data) > MAX_SAMPLE_BYTES:
            raise ProtocolError(f"the sample has {len(data)} bytes, more than the {MAX_SAMPLE_BYTES} that one may have.")
        try:
            told = Fields(json.loads(_described(data)), "the sample's description")
            found = About(
                told.text("model"),
                told.sha256("artifact"),
                told.number("at"),
                told.number("confidence"),
                told.count("predicted") if told.has("predicted") else None,
                told.texts("reasons"),
                told.text("consent"),
                told.flag("upload") if told.has("upload") else False,
            )
        except ArtifactError as error:
            raise ProtocolError(str(error)) from error
        except _BROKEN as error:
            raise ProtocolError("the sample is damaged; it cannot be read.") from error
        found._check()
        return found

    def _check(self) -> None:
        check_model(self.model)
        texts = (*self.reasons, self.consent)
        if not 0 <= self.at <= _MAX_TIME or not 0 <= self.confidence <= 1 or (self.predicted or 0) > _MAX_CLASS:
            raise ProtocolError("the sample's time, confidence or class is none that a device tells.")
        if len(self.reasons) > 10 or any(len(text) > 200 or not text.isprintable() for text in texts):
            raise ProtocolError("the sample's reasons or consent are more than a device tells.")


def _described(data: bytes) -> bytes:
    """The JSON of `__about__`."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        listed = archive.infolist()
        members = [info for info in listed if info.filename == f"{ABOUT}.npy"]
        if len(members) != 1 or len(listed) > _MAX_MEMBERS:
            raise ProtocolError("the sample has no description, or more than one.")
        with archive.open(members[0]) as file:
            content = file.read(_MAX_ABOUT_BYTES + 1)
    size = int.from_bytes(content[8:10], "little")
    header = _HEADER.fullmatch(content[10 : 10 + size])
    if content[:8] != b"\x93NUMPY\x01\x00" or header is None or len(content) > _MAX_ABOUT_BYTES:
        raise ProtocolError("the sample's description is none.")
    if int(header[1]) != len(content) - 10 - size:
        raise ProtocolError("the sample's description is not whole.")
    return content[10 + size :]
