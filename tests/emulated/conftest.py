"""A prepared root where the machine has one; a folder that looks like one and programs that stand in for Debian's elsewhere."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from edgewright.runtimes.emulated import needs
from edgewright.runtimes.emulated.emulator import Emulator
from edgewright.runtimes.emulated.prepare import wanted_wheels
from edgewright.runtimes.emulated.root import CODE, CORES, Root

VARIABLE = "EDGEWRIGHT_ARM64_ROOT"
Stand = Callable[..., None]


@pytest.fixture(scope="session")
def emulator() -> Emulator:
    """The emulator of the root that $EDGEWRIGHT_ARM64_ROOT names: making one takes minutes and a network."""
    if reason := needs.why_not():
        pytest.skip(reason)
    if VARIABLE not in os.environ:
        pytest.skip(f"no emulated device: run `edgewright emulation prepare DIR` and set {VARIABLE}=DIR")
    return Emulator.open(Path(os.environ[VARIABLE]))


@pytest.fixture
def able(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stand:
    """Makes this process look like root's on x86-64 with all programs; `able(name=text)` gives a program another script."""
    programs = tmp_path / "programs"
    programs.mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")

    def write(**scripts: str) -> None:
        for name, text in scripts.items():
            (programs / name).write_text(f"#!/bin/sh\n{text}\n")
            (programs / name).chmod(0o755)

    write(**{"unshare": 'shift 3\nexec "$@"', "debootstrap": "exit 1", "dpkg": "exit 1"})
    write(**dict.fromkeys(("mount", "chroot", "qemu-aarch64-static"), "exit 1"))
    return write


@pytest.fixture
def looks_prepared(tmp_path: Path) -> Iterator[Root]:
    """A folder with everything that marks a prepared root, and no Debian in it."""
    root = Root(tmp_path / "root")
    for name in (CORES, CODE):
        (root.folder / name).mkdir(parents=True)
    root.stamp(wanted_wheels())
    yield root
    shutil.rmtree(root.folder)
