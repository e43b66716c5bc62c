"""The two versions of a model that a rehearsal is about: the one that runs, and the one that is rolled out."""

from __future__ import annotations

from dataclasses import dataclass

from ...core.canonical import digest
from ...core.manifest import HistogramBins
from ..agent.choose import Device as Fit
from ..agent.journal import SlotRecord
from ..protocol.bins import encode_bins
from ..protocol.offer import FileRef, Offer, beside, target_name
from ..protocol.offered import Offered, Signers

MODEL = "rehearsed"
OLD, NEW = 1, 2
SIZE_BYTES = 4 << 20
# Counts of the confidence of answers at compile time: below the first of these edges, between them, above the last.
CONFIDENCE_EDGES = tuple(step / 10 for step in range(11))
CONFIDENCE_COUNTS = (0, 0, 0, 1, 3, 8, 20, 45, 110, 263, 550, 0)


@dataclass(frozen=True)
class Kind:
    """A kind of device: its profile, what it can run, and its share of the fleet."""

    profile: str
    fit: Fit
    share: float


def _kind(profile: str, arch: str, isa: str, ram_mb: int, share: float) -> Kind:
    return Kind(profile, Fit(arch, frozenset([isa]), {"onnxruntime": "1.20.0"}, ram_mb << 20, frozenset([profile])), share)


FLEET = (
    _kind("raspberry-pi-4b", "aarch64", "asimd", 2000, 0.5),
    _kind("raspberry-pi-5", "aarch64", "asimddp", 8000, 0.2),
    _kind("intel-n100", "x86_64", "avx2", 8000, 0.3),
)


def offered(version: int, kind: Kind) -> Offered:
    """The artifact of a version for a kind of device."""
    sha256 = digest(f"{MODEL} {version} {kind.profile}".encode())
    name = target_name(MODEL, kind.profile, version)
    (isa,) = kind.fit.isa
    offer = Offer(
        model=MODEL,
        version=version,
        profile=kind.profile,
        arch=kind.fit.arch,
        isa=(isa,),
        runtime="onnxruntime",
        runtime_version="1.20.0",
        precision="int8",
        size_bytes=SIZE_BYTES,
        content_digest=sha256,
        bins=FileRef(beside(name, "bins.json"), digest(BINS)),
    )
    return Offered(name, sha256, SIZE_BYTES, offer)


def held(item: Offered) -> SlotRecord:
    """What a device's slot remembers of an artifact that was committed."""
    return SlotRecord(item.sha256, item.name, item.offer.version, is_good=True)


BINS = encode_bins([HistogramBins("y", "confidence", CONFIDENCE_EDGES, CONFIDENCE_COUNTS)])
OFFERS = tuple(offered(version, kind) for version in (OLD, NEW) for kind in FLEET)


class Shelf:
    """The signed repository as the engine of rollouts sees it (control.rollouts.Artifacts)."""

    def refresh(self) -> None:
        """Nothing changes there."""

    def offers(self) -> list[Offered]:
        """Both versions for all kinds of devices."""
        return list(OFFERS)

    def bins(self, offered: Offered) -> bytes | None:
        """The bins, which are the same for all."""
        return BINS

    def provenance(self, offered: Offered) -> bytes | None:
        """None: nobody asks where these come from."""
        return None

    def signers(self, offered: Offered) -> Signers:
        """Nobody's keys."""
        return Signers("targets", (), 1)
