"""Two slots a model, and the link that says which one starts: `models/<model>/slots/{a,b}/artifact.ewa`,
`models/<model>/current`.

A payload is moved into the slot that the link does not name; the link is switched only after the trial. So whatever is lost
when power goes, the link names a slot whose file was whole and verified before the link first named it.
"""

from __future__ import annotations

from typing import Literal

from ...core.errors import AgentError
from ..disk import Disk, ensure_folder, folder_of, replace_link
from ..protocol.offer import check_model

Slot = Literal["a", "b"]
SLOTS: tuple[Slot, Slot] = ("a", "b")
_ARTIFACT = "artifact.ewa"


def model_folder(model: str) -> str:
    """Folder of a model; raises ProtocolError for a name that no model may have."""
    check_model(model)
    return f"models/{model}"


def artifact_path(model: str, slot: Slot) -> str:
    """Where a slot's artifact lies."""
    return f"{model_folder(model)}/slots/{slot}/{_ARTIFACT}"


def other(slot: Slot | None) -> Slot:
    """The slot that is free when `slot` is the current one."""
    return "b" if slot == "a" else "a"


def make(disk: Disk, model: str) -> None:
    """Make the folders of a model, durably."""
    for slot in SLOTS:
        ensure_folder(disk, folder_of(artifact_path(model, slot)))


def current(disk: Disk, model: str) -> Slot | None:
    """The slot that the link names, or None where there is no link to a slot."""
    target = disk.read_link(_link(model))
    return next((slot for slot in SLOTS if target == f"slots/{slot}"), None)


def place(disk: Disk, model: str, slot: Slot, source: str) -> None:
    """Move a whole, verified and durable file into a slot, durably; a second time it finds the work done.

    Raises AgentError for the current slot, StoreError when the disk refuses.
    """
    if current(disk, model) == slot:
        raise AgentError(f"slot {slot} of {model!r} is what runs, and nothing is placed there.")
    target = artifact_path(model, slot)
    if disk.size(source) is not None:
        disk.rename(source, target)
    disk.sync(folder_of(target))
    disk.sync(folder_of(source))


def switch(disk: Disk, model: str, slot: Slot | None) -> None:
    """Let the link name a slot, or none, durably and in one step; a second time it makes sure that the first is durable."""
    if slot is None:
        disk.remove(_link(model))
    elif current(disk, model) != slot:
        return replace_link(disk, f"slots/{slot}", _link(model))
    return disk.sync(model_folder(model))


def clear(disk: Disk, model: str, slot: Slot) -> None:
    """Remove a slot's artifact; raises AgentError for the current slot."""
    if current(disk, model) == slot:
        raise AgentError(f"slot {slot} of {model!r} is what runs, and is not removed.")
    disk.remove(artifact_path(model, slot))
    disk.sync(folder_of(artifact_path(model, slot)))


def _link(model: str) -> str:
    return f"{model_folder(model)}/current"
