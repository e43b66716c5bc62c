"""The folder of an emulated device: what lies where in it, and how a program of it is started."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ...core.child import package_folder, start_command
from ...core.errors import UsageError
from .needs import QEMU

PYTHON = "usr/bin/python3.11"
OURS = "opt/edgewright"
PACKAGES, CODE, EMULATOR, CORES = f"{OURS}/packages", f"{OURS}/code", f"{OURS}/qemu", f"{OURS}/cores"
_STAMP = f"{OURS}/root.json"
# In a mount namespace of its own, which ends with the last process in it: the machine's mounts are never touched.
# $0 root, $1 this package's code, $2 qemu, $3 core; then the program with its arguments.
_START = f"""
root=$0
mount --bind -o ro "$1" "$root/{CODE}/edgewright"
mount --bind -o ro "$2" "$root/{EMULATOR}"
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount --rbind /dev "$root/dev"
mount --bind "$root/{CORES}/$3" "$root/proc/cpuinfo"
core=$3
shift 3
exec chroot "$root" /{EMULATOR} -cpu "$core" "$@"
"""
_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
    "PYTHONPATH": f"/{PACKAGES}",
    "ORT_DISABLE_TELEMETRY": "1",
}


@dataclass(frozen=True)
class Root:
    """An arm64 Debian in `folder`, with the wheels of runtimes; `prepare` makes it."""

    folder: Path

    @property
    def is_begun(self) -> bool:
        """Whether the folder is one of ours, with everything but perhaps its wheels."""
        return (self.folder / CORES).is_dir()

    def wheels(self) -> Mapping[str, str]:
        """Version by package of what was brought into it; empty where that never ended."""
        try:
            found = json.loads((self.folder / _STAMP).read_text("utf-8"))
        except (OSError, ValueError):
            return {}
        return {str(name): str(version) for name, version in found.items()} if isinstance(found, dict) else {}

    def stamp(self, wheels: Mapping[str, str] | None) -> None:
        """Write down what was brought into it; None: it is about to change, and holds nothing for now."""
        place = self.folder / _STAMP
        place.unlink(missing_ok=True)
        if wheels is not None:
            place.write_text(json.dumps(dict(wheels), indent=1) + "\n", "utf-8")

    def command(self, core: str, module: str, *arguments: str) -> list[str]:
        """The command that calls `main(arguments)` of `module` of this package on an emulated `core`; raises UsageError."""
        qemu = shutil.which(QEMU)
        if qemu is None:
            raise UsageError(f"{QEMU} is gone; apt-get install qemu-user-static.")
        inside = start_command([f"/{PYTHON}"], f"/{CODE}", module, *arguments)
        script = ["sh", "-ec", _START, str(self.folder), str(package_folder()), qemu, core, *inside]
        return ["unshare", "--mount", "--propagation", "private", *script]

    def environment(self) -> dict[str, str]:
        """The whole environment of its programs; nothing of this process's."""
        return dict(_ENVIRONMENT)
