"""A file made on the device from an older one and a patch, verified as if it had been downloaded."""

from __future__ import annotations

from ...core.errors import VerificationError
from ..delta.apply import apply_delta
from ..delta.container import OnDisk
from ..disk import Disk, folder_of
from .part import Wanted


def make_patched(disk: Disk, old: str, patch: str, new: str, wanted: Wanted) -> str:
    """Path `new` of the file that `patch` makes of `old`, whole, verified and durable.

    Raises VerificationError when it is not what was signed, and StoreError; then nothing is at `new`.
    """
    making = f"{new}.patched"
    disk.write(making, b"")
    output = _Output(disk, making, wanted)
    header = apply_delta(OnDisk(disk, old), OnDisk(disk, patch), output.write)
    if header.new_sha256 != wanted.hashes.get("sha256") or output.size != wanted.length:
        raise VerificationError(f"the patch makes another file than {wanted.source}; publish it again.")
    disk.sync(making)
    disk.rename(making, new)
    disk.sync(folder_of(new))
    return new


class _Output:
    """A file of the disk, written from its start and never beyond the signed length."""

    def __init__(self, disk: Disk, path: str, wanted: Wanted) -> None:
        self._disk, self._path, self._wanted, self.size = disk, path, wanted, 0

    def write(self, piece: bytes) -> None:
        if self.size + len(piece) > self._wanted.length:
            raise VerificationError(f"the patch makes more than {self._wanted.source}; publish it again.")
        self._disk.write_range(self._path, self.size, piece)
        self.size += len(piece)
