"""The loop of the fuzzers: valid inputs are mutated, and each parser must answer, or refuse by an error that it declares.

A mutation flips, cuts, repeats or splices bytes, or puts in a token that matters; in JSON it also changes, drops, doubles and
exchanges values and keys, so that more than the parser of JSON is reached. What is still accepted becomes a seed for more.
The time of each parser is that of the processor. What is neither an answer nor a declared error ends the run with the bytes
that did it, as does an input that takes too long or too much memory.
"""

from __future__ import annotations

import argparse
import copy
import json
import random
import resource
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

SLOW_S = 1.0
MAX_BYTES = 20_000
MAX_POOL = 500
MAX_GROWTH_KIB = 256 << 10  # of the process over a whole run
VALUES: Sequence[Any] = (
    None, True, False, 0, 1, -1, 0.5, 1e308, 2**31, 2**63, 2**70, "", "a", "../x", "/x", "\ud800", "\0", "a" * 3000, [], {},
    [[]],
)  # fmt: skip


@dataclass(frozen=True)
class Target:
    """A parser: `run` takes mutations of `seeds`, in which `tokens` are put, and refuses by `declared` alone.

    `json_at` is where JSON begins in a seed, for seeds that are such.
    """

    seeds: Sequence[bytes]
    run: Callable[[bytes], object]
    declared: tuple[type[Exception], ...]
    tokens: Sequence[bytes]
    json_at: int | None = None


def main(targets: Mapping[str, Target], doc: str | None) -> None:
    """Fuzz the parsers that the command line names, all by default."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600.0, help="of the processor, for each parser")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--parser", action="append", choices=list(targets), help="only these")
    given = parser.parse_args()
    for name in given.parser or targets:
        count, refused = fuzz(targets[name], given.seconds, random.Random(given.seed))
        print(f"{name}: {count:,} inputs in {given.seconds:.0f} s, {refused:,} refused, none mishandled", flush=True)


def fuzz(target: Target, seconds: float, draw: random.Random) -> tuple[int, int]:
    """How many inputs were run, and how many of them refused; raises AssertionError, or what the parser let out."""
    pool = list(target.seeds)
    for seed in pool:
        target.run(seed)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    count = refused = 0
    end = time.process_time() + seconds
    while (start := time.process_time()) < end:
        seed = draw.choice(pool)
        data = mutate_json(seed, target.json_at, draw) if target.json_at is not None and draw.random() < 0.5 else None
        if data is None:
            data = mutate(seed, pool, target.tokens, draw)
        try:
            target.run(data)
        except target.declared:
            refused += 1
        except BaseException:
            print(f"mishandled: {data[:400]!r} ({len(data)} bytes)")
            raise
        else:
            if len(pool) < MAX_POOL:
                pool.append(data)
        told = f"{data[:400]!r} ({len(data)} bytes)"
        assert time.process_time() - start < SLOW_S, f"slow: {told}"
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MAX_GROWTH_KIB, f"large: {told}"
        count += 1
    return count, refused


def mutate(data: bytes, pool: Sequence[bytes], tokens: Sequence[bytes], draw: random.Random) -> bytes:
    """One to four changes."""
    made = bytearray(data)
    for _ in range(draw.randint(1, 4)):
        at, to = sorted((draw.randint(0, len(made)), draw.randint(0, len(made))))
        kind = draw.randrange(6)
        if kind == 0 and made:
            made[min(at, len(made) - 1)] = draw.randrange(256)
        elif kind == 1:
            del made[at : min(to, at + 8)]
        elif kind == 2:
            made[at:at] = draw.choice(tokens)
        elif kind == 3:
            made[at:at] = made[at : min(to, at + 64)]
        elif kind == 4:
            other = draw.choice(pool)
            place = draw.randint(0, len(other))
            made[at:to] = other[place : place + draw.randint(0, 64)]
        else:
            del made[at:]
    return bytes(made[:MAX_BYTES])


def mutate_json(data: bytes, at: int, draw: random.Random) -> bytes | None:
    """The same with one to three values or keys changed; None where there is no JSON."""
    try:
        value = json.loads(data[at:])
        for _ in range(draw.randint(1, 3)):
            value = _changed(value, draw)
        made = data[:at] + json.dumps(value, separators=(",", ":")).encode()
    except (ValueError, RecursionError):
        return None
    return made if len(made) <= MAX_BYTES else None


def _changed(value: Any, draw: random.Random) -> Any:
    """One place of the tree changed: each holder is as likely as any other."""
    holders = list(_holders(value))
    if not holders:
        return draw.choice(VALUES)
    holder = draw.choice(holders)
    keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
    key = draw.choice(keys)
    kind = draw.randrange(5)
    if kind == 0:
        del holder[key]
    elif kind == 1:
        other = draw.choice(holders)
        holder[key] = copy.deepcopy(draw.choice(list(other.values()) if isinstance(other, dict) else other))
    elif kind == 2 and isinstance(holder, dict):
        holder[draw.choice([*map(str, VALUES[:5]), "version", "\ud800", key + "x"])] = holder.pop(key)
    elif kind == 3 and isinstance(holder, list):
        holder += copy.deepcopy(holder)
    else:
        holder[key] = copy.deepcopy(draw.choice(VALUES))
    return value


def _holders(value: Any) -> Iterator[Any]:
    """Objects and lists that hold something."""
    if isinstance(value, (dict, list)) and value:
        yield value
        for item in value.values() if isinstance(value, dict) else value:
            yield from _holders(item)
