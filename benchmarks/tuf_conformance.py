"""Runs the public conformance suite of TUF clients against the device's client and, in the same run, against python-tuf's own.

    git clone https://github.com/theupdateframework/tuf-conformance
    python benchmarks/tuf_conformance.py tuf-conformance

Needs the program `faketime` for five of the tests. Prints passed and failed of each client and the names of what failed; none
is excused. Takes minutes. The first argument `client` makes this file the command that the suite calls (its CLIENT-CLI.md).
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from random import Random
from urllib.parse import quote
from xml.etree import ElementTree

from edgewright.core.clock import SystemClock
from edgewright.core.errors import EdgewrightError, NetworkError
from edgewright.fleet.disk import RealDisk
from edgewright.fleet.http import Flow, Http, Limits
from edgewright.fleet.trust.client import TrustClient
from edgewright.fleet.trust.download import Downloads
from edgewright.fleet.trust.source import wanted_of

# The suite's server answers each request once and has no network in between: a failure does not pass.
_LIMITS = Limits(attempts=1, first_wait_s=0.0)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suite", type=Path, help="checkout of theupdateframework/tuf-conformance")
    suite = parser.parse_args().suite.resolve()
    clients = {
        "edgewright": f"{sys.executable} {Path(__file__).resolve()} client",
        "python-tuf": f"{sys.executable} {suite / 'clients/python-tuf/python_tuf.py'}",
    }
    if shutil.which("faketime") is None:
        print("there is no program `faketime`: the tests that need it fail for both clients")
    for name, command in clients.items():
        passed, failed = _run(suite, command)
        print(f"{name:12s} {passed} passed, {len(failed)} failed{': ' if failed else ''}{', '.join(failed)}", flush=True)
    return 0


def _run(suite: Path, command: str) -> tuple[int, list[str]]:
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        arguments = ["-q", "-p", "no:cacheprovider", f"--junitxml={report}", f"--entrypoint={command}"]
        subprocess.run(
            [sys.executable, "-m", "pytest", *arguments, "tuf_conformance"], cwd=suite, check=False, capture_output=True
        )
        cases = list(ElementTree.parse(report).iter("testcase"))  # noqa: S314 - written by pytest just now
    failed = [case.get("name", "") for case in cases if any(child.tag in ("failure", "error") for child in case)]
    return len(cases) - len(failed), failed


class _TwoPlaces:
    """The suite serves metadata and targets at two addresses."""

    def __init__(self, metadata_url: str, targets_url: str) -> None:
        self._http = Http(SystemClock(), limits=_LIMITS)
        self._metadata, self._targets = metadata_url.rstrip("/"), targets_url.rstrip("/")

    def metadata(self, name: str, max_bytes: int) -> bytes | None:
        answer = self._http.get(f"{self._metadata}/{name}", max_bytes=max_bytes)
        if answer.status not in (200, 403, 404):
            raise NetworkError(f"{name}: {answer.status}.")
        return answer.body if answer.status == 200 else None

    def flow(self, name: str, start: int, length: int) -> AbstractContextManager[Flow]:
        return self._http.flow(f"{self._targets}/{name}", start=start, length=length)


@contextmanager
def _shown_in(folder: Path, data: Path) -> Iterator[None]:
    """The trusted metadata where the suite looks for them."""
    try:
        yield
    finally:
        for file in (*data.glob("trust/*.json"), *data.glob("trust/roles/*.json")):
            if file.name != "time.json":
                shutil.copyfile(file, folder / file.name)


def client(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--metadata-url", default="")
    parser.add_argument("--metadata-dir", type=Path, required=True)
    parser.add_argument("--target-name", action="append", default=[])
    parser.add_argument("--target-dir", type=Path)
    parser.add_argument("--target-base-url", default="")
    parser.add_argument("command", choices=("init", "refresh", "download"))
    parser.add_argument("root", nargs="?", type=Path)
    given = parser.parse_args(arguments)
    data = given.metadata_dir / "data"
    data.mkdir(exist_ok=True)
    if given.command == "init":
        shutil.copyfile(given.root, data / "first-root.json")
        shutil.copyfile(given.root, given.metadata_dir / "root.json")
        return 0
    disk, clock = RealDisk(data), SystemClock()
    origin = _TwoPlaces(given.metadata_url, given.target_base_url)
    try:
        with _shown_in(given.metadata_dir, data):
            trusted = TrustClient(disk, origin, clock, (data / "first-root.json").read_bytes())
            trusted.refresh()
            for name in given.target_name:
                target = trusted.find(name)
                if target is None:
                    raise NetworkError(f"{name} is not in the repository.")
                wanted = wanted_of(target, trusted.consistent_snapshot)
                digest = next(iter(target.hashes.values()))
                path = Downloads(disk, origin, clock, _LIMITS, Random()).fetch(wanted, digest)
                place = given.target_dir / quote(name, "")
                # The suite tells files apart by when they changed.
                if not place.exists() or place.read_bytes() != disk.read(path):
                    shutil.copyfile(disk.full_path(path), place)
    except EdgewrightError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(client(sys.argv[2:]) if sys.argv[1:2] == ["client"] else main())
