"""Build the compiled and the pure wheel, install each into an environment of its own, and test it from another folder.

Arguments are files and folders of tests; without any, all run. The other packages come from the environment that calls.

    python .ci/wheels.py tests/native tests/calibration
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tempfile
import venv
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent
_KINDS = {
    "compiled": ("native", []),
    "pure": ("numpy", ["-C", "wheel.cmake=false", "-C", "wheel.py-api=py3"]),
}
_CHECK = """
import sys, edgewright
from edgewright.cpp_bindings.kernels import implementation
place, expected = sys.argv[1:]
if not edgewright.__file__.startswith(place) or implementation() != expected:
    raise SystemExit(f"wrong package: {edgewright.__file__} with {implementation()} kernels, wanted {expected}")
"""


def build(kind: str, folder: Path) -> Path:
    """The wheel of that kind, made without a look at any index."""
    command = [sys.executable, "-m", "pip", "wheel", str(_ROOT), "--no-build-isolation", "--no-deps", "--quiet"]
    subprocess.run([*command, "--wheel-dir", str(folder), *_KINDS[kind][1]], check=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def install(wheel: Path, place: Path) -> Path:
    """Python of a fresh environment with the wheel.

    It sees the calling environment's packages through a path of its own, so that the .pth files there, and with them editable
    installs, are not read.
    """
    venv.create(place, with_pip=False, symlinks=True)
    python = place / "bin" / "python"
    (packages,) = (place / "lib").glob("python*/site-packages")
    (packages / "outer.pth").write_text(sysconfig.get_path("purelib") + "\n")
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*command, "--force-reinstall", str(wheel)], check=True)
    return python


def test(kind: str, tests: list[str], folder: Path) -> bool:
    """Whether the tests pass against that wheel."""
    wheel = build(kind, folder / kind)
    place = folder / f"{kind}-env"
    python = install(wheel, place)
    subprocess.run([python, "-c", _CHECK, place, _KINDS[kind][0]], check=True, cwd=folder)
    sys.stdout.write(f"== {kind}: {wheel.name}\n")
    sys.stdout.flush()
    environment = {"EDGEWRIGHT_DATA": str(_ROOT.parent / "shared" / "data"), **os.environ}
    command = [python, "-m", "pytest", "-c", str(_ROOT / "pyproject.toml"), "-q", "-p", "no:cacheprovider", *tests]
    return subprocess.run(command, check=False, cwd=folder, env=environment).returncode == 0


def main() -> int:
    """Zero when both wheels pass."""
    tests = [str(Path(name).resolve()) for name in sys.argv[1:]] or [str(_ROOT / "tests")]
    with tempfile.TemporaryDirectory() as folder:
        passed = [test(kind, tests, Path(folder)) for kind in _KINDS]
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
