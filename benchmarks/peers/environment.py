"""An environment a peer, apart from the project's and from each other: .venv-peers/NAME from requirements/NAME.txt."""

from __future__ import annotations

import subprocess
import sys
from hashlib import sha256
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / ".venv-peers"
REQUIREMENTS = Path(__file__).parent / "requirements"


def python_of(name: str) -> Path | str:
    """The environment's Python, made when it is missing or its requirements changed; or one sentence why there is none."""
    folder, wanted = HOME / name, REQUIREMENTS / f"{name}.txt"
    text = wanted.read_text("utf-8")
    stamp, python = folder / ".made", folder / "bin" / "python"
    failed = HOME / f"{name}.failed"
    key = sha256(text.encode()).hexdigest()
    if stamp.exists() and stamp.read_text("utf-8") == key:
        return python
    if failed.exists() and failed.read_text("utf-8").startswith(key):
        return failed.read_text("utf-8").split("\n", 1)[1]
    # The CPU build of torch that the project takes; nothing else of its constraints binds a peer.
    constraints = HOME / "constraints.txt"
    HOME.mkdir(exist_ok=True)
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    constraints.write_text("\n".join(line for line in lines if line.startswith("torch==")), "utf-8")
    print(f"making {folder.relative_to(ROOT)}", flush=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
    pip = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", "-c", str(constraints), "-r", str(wanted)]
    done = subprocess.run(pip, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        stamp.write_text(key, "utf-8")
        return python
    errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR:")] or done.stderr.splitlines()[-1:]
    why = f"cannot be installed: {' '.join(errors[0].removeprefix('ERROR:').split())[:200]}"
    failed.write_text(f"{key}\n{why}", "utf-8")
    return why


def versions(python: Path) -> dict[str, str]:
    """Every package of an environment with its version."""
    freeze = [str(python), "-m", "pip", "list", "--format=freeze", "--disable-pip-version-check"]
    text = subprocess.run(freeze, capture_output=True, text=True, check=True).stdout
    return dict(line.strip().split("==", 1) for line in text.splitlines() if "==" in line)
