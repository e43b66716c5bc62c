"""Train a reference, or load it, and print what it reaches: `python -m benchmarks.references NAME --cache DIR`."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from benchmarks.references.registry import REFERENCES, score


def main() -> None:
    """Train or load, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=list(REFERENCES))
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    options.cache.mkdir(parents=True, exist_ok=True)
    reference = REFERENCES[options.name](options.cache)
    parameters = sum(parameter.numel() for parameter in reference.module.parameters())
    for split in ("search", "accept"):
        arrays = getattr(reference, split)
        print(
            f"{reference.name}: {parameters} parameters, {split} {score(reference, arrays):.4f} of {len(arrays['x'])} samples"
        )


if __name__ == "__main__":
    main()
