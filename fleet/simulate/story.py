"""What happened in a rehearsal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Moment:
    """Something that happened so many seconds after the beginning."""

    at_s: float
    what: str


@dataclass(frozen=True)
class StageStory:
    """A stage of the rollout: how large, and what came of the devices that were assigned by it."""

    size: str
    good: int
    bad: int
    silent: int
    pending: int
    to_assign: int

    @property
    def counts(self) -> tuple[int, int, int, int]:
        """Devices that were assigned: good, bad, silent, not known yet."""
        return self.good, self.bad, self.silent, self.pending

    @property
    def assigned(self) -> int:
        """Devices that were assigned."""
        return sum(self.counts)


@dataclass(frozen=True)
class Story:
    """How a rehearsal ended, and what is true of the devices, which the server does not know.

    `state` and `why` are the rollout's; `decided_s` is when it came to them, `settled_s` when no device had anything on its way
    any more, both in seconds of virtual time. Of the devices the new version `fails_on` so many; so many `tried` it, with so
    many it `served` requests, so many `committed` it, and so many `run` it at the end. `untrue` devices run something else than
    the server believes. `exchanges` between devices and server took `real_s` seconds.
    """

    devices: int
    moments: tuple[Moment, ...]
    stages: tuple[StageStory, ...]
    state: str
    why: str
    decided_s: float
    settled_s: float
    fails_on: int
    tried: int
    served: int
    committed: int
    run: int
    untrue: int
    exchanges: int
    real_s: float

    def to_json(self) -> dict[str, Any]:
        """JSON object with the fields."""
        found = asdict(self)
        for told, stage in zip(found["stages"], self.stages, strict=True):
            told["assigned"] = stage.assigned
        return found


def lines(story: Story) -> Sequence[str]:
    """The story for a reader: moments, stages, and where the new version came to."""
    width = max([5, *(len(stage.size) for stage in story.stages)])
    return [
        *(f"{clock(moment.at_s):>11}  {moment.what}" for moment in story.moments),
        "",
        f"{'stage':<{width}}  assigned    good     bad  silent    open",
        *(_row(stage, width) for stage in story.stages),
        "",
        f"of {story.devices:,} devices the new version fails on {story.fails_on:,}",
        f"it was tried by {story.tried:,}, answered requests on {story.served:,}, was committed by {story.committed:,}, "
        f"and runs on {story.run:,} in the end",
        f"the server's belief about what runs is wrong for {story.untrue:,}",
        f"{clock(story.settled_s)} of virtual time in {story.real_s:.1f} s, {story.exchanges:,} exchanges",
    ]


def clock(seconds: float) -> str:
    """A time from the beginning, as "1d 02:03:04"."""
    days, rest = divmod(round(seconds), 86400)
    told = f"{rest // 3600:02}:{rest % 3600 // 60:02}:{rest % 60:02}"
    return f"{days}d {told}" if days else told


def _row(stage: StageStory, width: int) -> str:
    return f"{stage.size:<{width}}  {stage.assigned:>8,}" + "".join(f"{count:>8,}" for count in stage.counts)
