"""The same input, seed and measurements give the same bytes; a flipped bit anywhere is found.

The demo's digits CNN (a torch module, trained once and saved) is compiled in two processes with different hash seeds and step
stores, for one profile of this machine's kind and one that is not here. Then bits of an artifact are flipped: every bit of
`--whole` artifacts smaller than that many bytes, a bit of each byte of larger ones.

    python -m benchmarks.reproducible
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from edgewright.core.artifact_read import read_artifact
from edgewright.core.errors import ArtifactError

_JOB = """
import sys, numpy as np, torch
from pathlib import Path
import edgewright
folder, out, measurements = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
from benchmarks.zoo import digits_network
net = digits_network(); net.load_state_dict(torch.load(folder / "net.pt", weights_only=True)); net.eval()
data = dict(np.load(folder / "data.npz"))
result = edgewright.compile(net, data=data, name="digits", profiles=sys.argv[4:], gates=["top1 >= -2pt"], out=out / "dist",
    store=out / "store", search_samples=155, calib_samples=122, seed=7,
    measurements=Path(measurements) if measurements else None)
sys.exit(result.exit_code)
"""


def main() -> int:
    """Run and print."""
    import torch
    from edgewright.device_profiles.detect import host_cpu

    from benchmarks.zoo import digits

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--whole", type=int, default=65536)
    options = parser.parse_args()
    has_vnni = bool(host_cpu().flags & {"avx512_vnni", "avx_vnni"})
    profiles = ["x86-64-vnni" if has_vnni else "x86-64-avx2", "raspberry-pi-5"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        entry = digits()
        torch.save(entry.model.state_dict(), folder / "net.pt")
        np.savez(folder / "data.npz", **entry.data)
        measurements = ""
        for run in ("first", "second"):
            command = [sys.executable, "-c", _JOB, str(folder), str(folder / run), measurements, *profiles]
            environment = {**os.environ, "PYTHONHASHSEED": "1" if run == "first" else "2"}
            subprocess.run(command, check=True, env=environment)
            measurements = str(folder / "first" / "dist" / "measurements.json")
        is_same = []
        for path in sorted((folder / "first" / "dist").glob("*.ewa")):
            other = folder / "second" / "dist" / path.name
            is_same.append(other.exists() and other.read_bytes() == path.read_bytes())
            print(f"{path.name}: {path.stat().st_size} bytes, {'identical' if is_same[-1] else 'DIFFERENT'}")
        missed = sum(flips(path, options.whole) for path in sorted((folder / "first" / "dist").glob("*.ewa")))
    return 0 if is_same and all(is_same) and not missed else 1


def flips(path: Path, whole: int) -> int:
    """Flip bits of a file one at a time; returns how many were not caught."""
    data = bytearray(path.read_bytes())
    bits = range(8) if len(data) <= whole else range(1)
    start, tried, missed = time.perf_counter(), 0, 0
    for place in range(len(data)):
        for bit in bits:
            mask = 1 << ((bit + place) % 8)
            data[place] ^= mask
            try:
                read_artifact(bytes(data))
                missed += 1
            except ArtifactError:
                pass
            data[place] ^= mask
            tried += 1
    print(f"{path.name}: {tried} flipped bits, {tried - missed} caught, {time.perf_counter() - start:.0f} s")
    return missed


if __name__ == "__main__":
    sys.exit(main())
