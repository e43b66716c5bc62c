"""The states of one model's update, as a table: an event in, the next state out, and what is to be done there.

Names and rules are those of Mender's client, results those of AWS IoT Greengrass. The rules:

1. A payload comes to its final place in ArtifactInstall, never while it is downloaded.
2. The server is told before ArtifactInstall, ArtifactReboot and ArtifactCommit, and may take the deployment back each time; who
   cannot tell it does not commit (offline, what is told goes into a log on the device, and that is enough).
3. The reboot of a model is the start of its new worker. What serves is switched there for a trial, what starts after a power
   cut only in ArtifactCommit.
4. A process that comes up in ArtifactInstall, ArtifactReboot, ArtifactVerifyReboot or ArtifactCommit rolls back and fails. One
   that comes up in Download goes on; in any later state it does the state again, so each of those can be done twice.
5. Transitions of an update are counted over restarts, but for those in Download, which resumes. At MAX_TRANSITIONS it fails as
   a loop; a few later it ends whatever happens.
6. Success is told in ArtifactCommit_Leave only, by the new version's worker being the one that runs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from ..protocol.report import Result, State

Happening = Literal["done", "failed", "aborted", "unreported", "restarted"]
Effect = Literal[
    "tell", "ask", "fetch", "place", "start", "watch", "switch", "restore", "start-old", "check-old", "clean"
]  # fmt: skip

MAX_TRANSITIONS = 28
_LAST_TRANSITIONS = 6  # to tell the failure and to clean, after a loop was found

# What is done in a state, in order; the first that does not end well decides.
EFFECTS: dict[State, tuple[Effect, ...]] = {
    "Idle": (),
    "Download": ("tell", "fetch"),
    "ArtifactInstall": ("ask", "place"),
    "ArtifactReboot": ("ask", "start"),
    "ArtifactVerifyReboot": ("watch",),
    "ArtifactCommit": ("ask", "switch"),
    "ArtifactCommit_Leave": ("tell",),
    "ArtifactRollback": ("restore",),
    "ArtifactRollbackReboot": ("start-old",),
    "ArtifactVerifyRollbackReboot": ("check-old",),
    "ArtifactFailure": ("tell",),
    "Cleanup": ("clean",),
}

# State and what happened -> next state, and the result that is settled by it.
TABLE: dict[tuple[State, Happening], tuple[State, Result | None]] = {
    ("Download", "done"): ("ArtifactInstall", None),
    ("Download", "failed"): ("ArtifactFailure", "FAILED_NO_STATE_CHANGE"),
    ("Download", "aborted"): ("ArtifactFailure", "FAILED_NO_STATE_CHANGE"),
    ("Download", "restarted"): ("Download", None),
    ("ArtifactInstall", "done"): ("ArtifactReboot", None),
    ("ArtifactInstall", "failed"): ("ArtifactRollback", None),
    ("ArtifactInstall", "aborted"): ("ArtifactFailure", "FAILED_NO_STATE_CHANGE"),
    ("ArtifactInstall", "unreported"): ("ArtifactFailure", "FAILED_NO_STATE_CHANGE"),
    ("ArtifactInstall", "restarted"): ("ArtifactRollback", None),
    ("ArtifactReboot", "done"): ("ArtifactVerifyReboot", None),
    ("ArtifactReboot", "failed"): ("ArtifactRollback", None),
    ("ArtifactReboot", "aborted"): ("ArtifactRollback", None),
    ("ArtifactReboot", "unreported"): ("ArtifactRollback", None),
    ("ArtifactReboot", "restarted"): ("ArtifactRollback", None),
    ("ArtifactVerifyReboot", "done"): ("ArtifactCommit", None),
    ("ArtifactVerifyReboot", "failed"): ("ArtifactRollback", None),
    ("ArtifactVerifyReboot", "aborted"): ("ArtifactRollback", None),
    ("ArtifactVerifyReboot", "restarted"): ("ArtifactRollback", None),
    ("ArtifactCommit", "done"): ("ArtifactCommit_Leave", "SUCCESSFUL"),
    ("ArtifactCommit", "failed"): ("ArtifactRollback", None),
    ("ArtifactCommit", "aborted"): ("ArtifactRollback", None),
    ("ArtifactCommit", "unreported"): ("ArtifactRollback", None),
    ("ArtifactCommit", "restarted"): ("ArtifactRollback", None),
    ("ArtifactCommit_Leave", "done"): ("Cleanup", None),
    ("ArtifactCommit_Leave", "restarted"): ("ArtifactCommit_Leave", None),
    ("ArtifactRollback", "done"): ("ArtifactRollbackReboot", None),
    ("ArtifactRollback", "failed"): ("ArtifactFailure", "FAILED_UNABLE_TO_ROLLBACK"),
    ("ArtifactRollback", "restarted"): ("ArtifactRollback", None),
    ("ArtifactRollbackReboot", "done"): ("ArtifactVerifyRollbackReboot", None),
    ("ArtifactRollbackReboot", "failed"): ("ArtifactFailure", "FAILED_UNABLE_TO_ROLLBACK"),
    ("ArtifactRollbackReboot", "restarted"): ("ArtifactRollbackReboot", None),
    ("ArtifactVerifyRollbackReboot", "done"): ("ArtifactFailure", "FAILED_ROLLBACK_COMPLETE"),
    ("ArtifactVerifyRollbackReboot", "failed"): ("ArtifactFailure", "FAILED_UNABLE_TO_ROLLBACK"),
    ("ArtifactVerifyRollbackReboot", "restarted"): ("ArtifactRollbackReboot", None),
    ("ArtifactFailure", "done"): ("Cleanup", None),
    ("ArtifactFailure", "restarted"): ("ArtifactFailure", None),
    ("Cleanup", "done"): ("Idle", None),
    ("Cleanup", "failed"): ("Idle", None),
    ("Cleanup", "restarted"): ("Cleanup", None),
}


@dataclass(frozen=True)
class Event:
    """What happened in a state; `why` in one clause where it is not `done`. `is_lasting`: trying again would end the same."""

    kind: Happening
    why: str = ""
    is_lasting: bool = False


@dataclass(frozen=True)
class Progress:
    """How far an update is. `why` and `is_lasting` are of the first event that was not `done`; `transitions` counts records."""

    state: State = "Idle"
    transitions: int = 0
    result: Result | None = None
    why: str = ""
    is_lasting: bool = False


def begin() -> tuple[Progress, tuple[Effect, ...]]:
    """An update that was decided on."""
    return Progress("Download", transitions=1), EFFECTS["Download"]


def advance(progress: Progress, event: Event) -> tuple[Progress, tuple[Effect, ...]]:
    """Next progress and what is to be done there; raises ValueError for an event that the state does not know."""
    if (progress.state, event.kind) not in TABLE:
        raise ValueError(f"{progress.state} knows no event {event.kind!r}.")
    state, result = TABLE[progress.state, event.kind]
    count = progress.transitions + (state != progress.state or state != "Download")
    moved = replace(progress, state=state, transitions=count, result=progress.result or result)
    if event.kind != "done" and state != "Download" and not (progress.why or progress.result):
        moved = replace(moved, why=event.why or event.kind, is_lasting=event.is_lasting)
    moved = _bounded(moved, progress.state)
    return moved, EFFECTS[moved.state]


def _bounded(moved: Progress, before: State) -> Progress:
    """The progress, or the end of the update where there were too many transitions."""
    if moved.transitions >= MAX_TRANSITIONS + _LAST_TRANSITIONS:
        return replace(moved, state="Idle")
    if moved.transitions < MAX_TRANSITIONS or moved.state in ("ArtifactFailure", "Cleanup", "Idle"):
        return moved
    if moved.result == "SUCCESSFUL":
        return replace(moved, state="Cleanup")
    why = f"StateLoopDetected after {moved.transitions} transitions" + (f": {moved.why}" if moved.why else "")
    settled: Result = "FAILED_NO_STATE_CHANGE" if before == "Download" else "FAILED_UNABLE_TO_ROLLBACK"
    return replace(moved, state="ArtifactFailure", result=moved.result or settled, why=why, is_lasting=True)
