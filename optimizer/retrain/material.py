"""What a retraining learns from and is judged by: the old world, so that it is not forgotten, and what was labelled since.

                     judged by          chooses, and is the new reference     learned from
    old data         old (accept)       -                                     replay
    earlier labels   old                -                                     replay
    new labels       fresh (held out)   search                                new

Which side a sample is on follows from its content, so that what judges a retraining was never learned from in any other. New
labels are of the deployed version; what was labelled under versions before it is part of the old world by now. Of labelled
samples that are the same, one counts: a device that sends one input again and again would decide a gate by it. The
counts that devices are compared with are made on `search`, which therefore is of the new world alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...core.canonical import digest_file
from .samples import WORLD, Samples, joined, nothing_like, save, share_of

PARTS = ("train", "settle", "search", "old", "fresh", "accept")
_OLD_ACCEPT = 0.3  # of old data without an accept set of their own
_SETTLE = 0.15  # of what is learned from: chooses among the states of a training
_LEAST_REPLAY = 2000
_FEWEST_SEARCH = 50


@dataclass(frozen=True)
class Amounts:
    """Shares of the new samples: `held_out` judge, `search` choose; of old ones at most `replay` for a new one are learned."""

    held_out: float = 0.4
    search: float = 0.2
    replay: float = 4.0


def divide(
    folder: Path,
    old: Samples,
    accept: Samples | None,
    new: Samples,
    is_random: np.ndarray,
    earlier: Samples,
    amounts: Amounts,
) -> dict[str, object]:
    """Write the parts as .npz into `folder`; what they hold, in numbers and digests.

    `is_random` [n] says which new samples were kept whatever they were, so that they stand for what devices see. The parts:
    train (learned from), settle (chooses among states), search (chooses candidates), old and fresh (judge), accept (both of
    these); train and accept have a column `world`, "old" or "new".
    """
    given = len(new) + len(earlier)
    first = new.distinct()
    new, is_random, earlier = new.take(first), is_random[first], earlier.take(earlier.distinct())
    if accept is None:
        is_accept = share_of(old, "accept") < _OLD_ACCEPT
        accept, old = old.take(is_accept), old.take(~is_accept)
    held, searched = _cut(new, amounts)
    was_held = share_of(earlier, "held out") < amounts.held_out
    judge_old = joined([accept, earlier.take(was_held)])
    fresh, search, learned = new.take(held), new.take(searched), new.take(~held & ~searched)
    kept = set(judge_old.hashes())
    learned = learned.without(kept)
    pool = joined([old, earlier.take(~was_held)]).without(kept | set(fresh.hashes()) | set(search.hashes()))
    replay = _drawn(pool, min(len(pool), max(_LEAST_REPLAY, math.ceil(amounts.replay * len(learned)))))
    mixed = joined([replay, learned])
    is_settling = share_of(mixed, "settle") < _SETTLE
    random = search.take(is_random[searched])
    reference = random if len(random) >= _FEWEST_SEARCH else search
    if len(reference) < _FEWEST_SEARCH:
        reference = joined([reference, _drawn(mixed.take(is_settling), 2 * _FEWEST_SEARCH)])
    both = joined([judge_old, fresh])
    worlds = {"train": _world(replay, learned)[~is_settling], "accept": _world(judge_old, fresh)}
    parts: Mapping[str, Samples] = {
        "train": mixed.take(~is_settling),
        "settle": mixed.take(is_settling),
        "search": reference,
        "old": judge_old,
        "fresh": fresh if len(fresh) else nothing_like(judge_old),
        "accept": both,
    }
    for name in PARTS:
        save(folder / f"{name}.npz", parts[name], {WORLD: worlds[name]} if name in worlds else None)
    return {
        "samples": {name: len(parts[name]) for name in PARTS}
        | {"new": len(new), "earlier": len(earlier), "replay": len(replay), "repeated": given - len(new) - len(earlier)},
        "digests": {name: digest_file(folder / f"{name}.npz") for name in PARTS},
    }


def _world(old: Samples, new: Samples) -> np.ndarray:
    return np.array(["old"] * len(old) + ["new"] * len(new))


def _cut(new: Samples, amounts: Amounts) -> tuple[np.ndarray, np.ndarray]:
    place = share_of(new, "held out")
    held = place < amounts.held_out
    return held, ~held & (place < amounts.held_out + amounts.search)


def _drawn(samples: Samples, count: int) -> Samples:
    """As many, drawn by their content."""
    return samples.take(np.argsort(share_of(samples, "replay"), kind="stable")[:count])
