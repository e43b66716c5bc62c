"""What the agent's loop needs from the outside, as protocols: where artifacts come from, who assigns them, who runs them.

The loop knows nothing of HTTP, signatures or inference. A test stands simulators here; on a device `fleet.trust.source`,
`fleet.agent.server` and `fleet.serve.supervisor` do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ..protocol.offered import Offered
from ..serve.generation import Generation, Health, Statistics

if TYPE_CHECKING:
    from ..protocol.assignment import Assignment
    from ..protocol.poll import PollSlot
    from ..protocol.report import Answer, Report


class Source(Protocol):
    """A signed repository, by network, folder or tar."""

    def refresh(self) -> None:
        """Learn what is signed now; raises NetworkError, VerificationError or StoreError and then knows what it knew before."""
        ...

    def offers(self) -> Sequence[Offered]:
        """All trusted artifacts, by the metadata last verified; empty when there are none yet."""
        ...

    def fetch(self, offered: Offered, have: Mapping[str, str]) -> str:
        """Path of the whole, verified and durable file on the device's disk; resumes what was begun.

        `have` maps the SHA-256 of artifacts that are on the disk to their paths, for deltas. One call takes about half a minute
        at most: UnfinishedError says that more is to come, and the next call goes on. Raises NetworkError, VerificationError
        or StoreError.
        """
        ...

    def forget(self, sha256: str) -> None:
        """Remove what was downloaded of this file; nothing there is fine."""
        ...


class Server(Protocol):
    """Who says what this device shall run, and hears how it went."""

    def assignment(self) -> Assignment:
        """What shall run; the last one known when it did not change. Raises NetworkError or ProtocolError."""
        ...

    def poll_slot(self) -> PollSlot | None:
        """When the next assignment shall be asked for, counted from the last answer; None where nobody said."""
        ...

    def report(self, report: Report) -> Answer:
        """Tell a state; the answer may take the deployment back. Raises NetworkError or ProtocolError."""
        ...

    def send_telemetry(self, frames: bytes) -> int:
        """Send frames; the highest sequence that the server has now. Raises NetworkError or ProtocolError."""
        ...


class Telemetry(Protocol):
    """Windows of counts that wait on the disk to be sent."""

    def send(self, server: Server) -> None:
        """Send what waits; raises NetworkError, ProtocolError or StoreError, and then keeps what was not taken."""
        ...


@dataclass(frozen=True)
class Around:
    """What goes on beside a measuring: whether an update is on its way, paths of the good artifacts in slots by SHA-256, and
    how many models serve."""

    is_updating: bool = False
    held: Mapping[str, str] = field(default_factory=dict)
    serving: int = 0


class Measurings(Protocol):
    """What the server asks this device to measure."""

    def poll(self, around: Around) -> None:
        """Hear what waits, tell what could not be told; raises NetworkError, ProtocolError or StoreError."""
        ...

    def step(self, around: Around) -> float | None:
        """Go on with what is under way: seconds until the next step, or None where nothing is. Raises as `poll` does."""
        ...

    def stop(self) -> None:
        """End what is under way; it is begun again after a start of the agent."""
        ...


class Serving(Protocol):
    """Worker processes: at most one a model is public, one more may be private while it is tried."""

    def start(self, model: str, artifact: Path, sha256: str) -> Generation:
        """A worker on a private socket, loaded and warmed up, not yet public.

        Raises VerificationError when the file is not the one that `sha256` names, RuntimeFailure when it cannot be run,
        AgentError when the device has no room for a worker now.
        """
        ...

    def check(self, generation: Generation) -> Health:
        """The artifact's test vectors through the worker; raises RuntimeFailure when the worker does not answer."""
        ...

    def publish(self, generation: Generation) -> None:
        """Let it take over the model's public socket; the generation before it answers what it began, and ends.

        Raises RuntimeFailure when the worker is gone, AgentError when the socket cannot be opened.
        """
        ...

    def stop(self, generation: Generation) -> None:
        """End a worker; one that is gone is fine."""
        ...

    def running(self, model: str) -> Generation | None:
        """The public generation of a model, or None."""
        ...

    def statistics(self, generation: Generation) -> Statistics:
        """Counts since the start of the generation, over restarts of its process; raises RuntimeFailure when it is gone."""
        ...
