"""A clock that a test moves, and a disk in memory that knows what is durable and can lose power at any moment.

The disk keeps the log of all that changed it. `power_cuts(log[:n])` gives the disks that may be found after power was lost
right then, by what POSIX promises and no more: what was synced is there; of each file's writes since its last sync any may be
missing, cut short or zeros; of the changes of names whose folder was not synced since, any may be missing, as long as those
kept do not rest on one that is not (changes of the same entry happen in order, a rename is atomic).
"""

from __future__ import annotations

import copy
import hashlib
import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from edgewright.core.errors import StoreError

_ROOT = 0
_UNIT = 64  # bytes that are written whole or not; less than a sector, so that small files can be torn


class SimulatedClock:
    """Wall clock and monotonic time that move only by `advance` and `sleep`; `during_sleep` is called after each sleep."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self._now = now
        self._monotonic = 0.0
        self.during_sleep: Callable[[], None] = lambda: None
        self.slept: list[float] = []

    def now(self) -> float:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.advance(max(0.0, seconds))
        self.during_sleep()

    def advance(self, seconds: float) -> None:
        self._now += seconds
        self._monotonic += seconds

    def set_wall(self, now: float) -> None:
        self._now = now


@dataclass(frozen=True)
class Op:
    """One change: `entries` are the (folder, name) pairs that it touches, `inode` what it puts there or writes to."""

    kind: str  # create, remove, rename, write, truncate, sync-file, sync-folder
    inode: int
    entries: tuple[tuple[int, str], ...] = ()
    offset: int = 0
    data: bytes = b""
    what: str = ""  # of create: file, folder, or a link's target with "link:" before it


@dataclass
class _Node:
    kind: str
    data: bytearray = field(default_factory=bytearray)
    target: str = ""
    entries: dict[str, int] = field(default_factory=dict)


class SimulatedDisk:
    """A `Disk` in memory. `capacity` bounds the bytes of all files; `refuse` may raise before a change of a kind at a path."""

    def __init__(self, capacity: int | None = None) -> None:
        self._nodes: dict[int, _Node] = {_ROOT: _Node("folder")}
        self._next = 1
        self.capacity = capacity
        self.refuse: Callable[[str, str], None] = lambda kind, path: None
        self.log: list[Op] = []

    # Reading

    def read(self, path: str) -> bytes:
        return bytes(self._file(path).data)

    def read_range(self, path: str, offset: int, length: int) -> bytes:
        return bytes(self._file(path).data[offset : offset + length])

    def size(self, path: str) -> int | None:
        node = self._find(path)
        return len(node.data) if node is not None and node.kind == "file" else None

    def names(self, folder: str) -> list[str]:
        node = self._find(folder)
        return sorted(node.entries) if node is not None and node.kind == "folder" else []

    def read_link(self, path: str) -> str | None:
        node = self._find(path, follow=False)
        return node.target if node is not None and node.kind == "link" else None

    def full_path(self, path: str) -> Path:
        if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
            raise StoreError(f"{path!r} does not lie in the data folder.")
        return Path("/simulated") / path

    @staticmethod
    def path_of(full: Path) -> str:
        """Inverse of `full_path`."""
        return str(full.relative_to("/simulated"))

    # Changing

    def write(self, path: str, data: bytes, *, private: bool = False) -> None:
        inode = self._open(path, "write")
        if self._nodes[inode].data:
            self._do(Op("truncate", inode, offset=0))
        self._room(len(data))
        self._do(Op("write", inode, offset=0, data=bytes(data)))

    def write_range(self, path: str, offset: int, data: bytes) -> None:
        inode = self._open(path, "write_range")
        self._room(offset + len(data) - len(self._nodes[inode].data))
        self._do(Op("write", inode, offset=offset, data=bytes(data)))

    def truncate(self, path: str, size: int) -> None:
        self.refuse("truncate", path)
        self._file(path)
        self._do(Op("truncate", self._inode(path), offset=size))

    def sync(self, path: str) -> None:
        self.refuse("sync", path)
        node = self._find(path)
        if node is None:
            raise StoreError(f"cannot write {path}: no such file.")
        self._do(Op("sync-folder" if node.kind == "folder" else "sync-file", self._inode(path)))

    def rename(self, old: str, new: str) -> None:
        self.refuse("rename", new)
        source, target = self._entry(old), self._entry(new)
        if self._find(old, follow=False) is None:
            raise StoreError(f"cannot write {new}: {old} is not there.")
        there = self._find(new, follow=False)
        if there is not None and there.kind == "folder":
            raise StoreError(f"cannot write {new}: it is a folder.")
        self._do(Op("rename", self._nodes[source[0]].entries[source[1]], (source, target)))

    def link(self, target: str, path: str) -> None:
        self.refuse("link", path)
        if self._find(path, follow=False) is not None:
            raise StoreError(f"cannot write {path}: it exists.")
        self._create(path, f"link:{target}")

    def remove(self, path: str) -> None:
        self.refuse("remove", path)
        node = self._find(path, follow=False)
        if node is None:
            return
        if node.kind == "folder" and node.entries:
            raise StoreError(f"cannot write {path}: the folder is not empty.")
        folder, name = self._entry(path)
        self._do(Op("remove", self._nodes[folder].entries[name], ((folder, name),)))

    def make_folder(self, path: str) -> None:
        for part in [*reversed(PurePosixPath(path).parents), PurePosixPath(path)]:
            node = self._find(str(part))
            if node is None:
                self.refuse("make_folder", str(part))
                self._create(str(part), "folder")
            elif node.kind != "folder":
                raise StoreError(f"cannot write {path}: {part} is no folder.")

    # Inside

    def _find(self, path: str, follow: bool = True, depth: int = 0) -> _Node | None:
        inode = self._inode_of(path, follow, depth)
        return None if inode is None else self._nodes[inode]

    def _inode_of(self, path: str, follow: bool = True, depth: int = 0) -> int | None:
        parts = [part for part in path.split("/") if part not in ("", ".")]
        inode = _ROOT
        for index, part in enumerate(parts):
            folder = self._nodes[inode]
            if folder.kind != "folder" or part not in folder.entries:
                return None
            inode = folder.entries[part]
            node = self._nodes[inode]
            if node.kind == "link" and (follow or index < len(parts) - 1):
                if depth > 8:
                    return None
                return self._inode_of("/".join([*parts[:index], node.target, *parts[index + 1 :]]), follow, depth + 1)
        return inode

    def _file(self, path: str) -> _Node:
        node = self._find(path)
        if node is None or node.kind != "file":
            raise StoreError(f"cannot read {path}: no such file.")
        return node

    def _inode(self, path: str) -> int:
        inode = self._inode_of(path)
        assert inode is not None
        return inode

    def _entry(self, path: str) -> tuple[int, str]:
        pure = PurePosixPath(path)
        folder = self._find(str(pure.parent))
        if folder is None or folder.kind != "folder":
            raise StoreError(f"cannot write {path}: its folder is not there.")
        return self._inode(str(pure.parent)), pure.name

    def _open(self, path: str, kind: str) -> int:
        self.refuse(kind, path)
        node = self._find(path)
        if node is None:
            return self._create(path, "file")
        if node.kind != "file":
            raise StoreError(f"cannot write {path}: it is a folder.")
        return self._inode(path)

    def _create(self, path: str, what: str) -> int:
        inode, self._next = self._next, self._next + 1
        self._do(Op("create", inode, (self._entry(path),), what=what))
        return inode

    def _room(self, more: int) -> None:
        used = sum(len(node.data) for node in self._nodes.values())
        if self.capacity is not None and used + more > self.capacity:
            raise StoreError("cannot write: No space left on device; free some space.")

    def _do(self, op: Op) -> None:
        self.log.append(op)
        self.apply(op)

    def apply(self, op: Op) -> None:
        """Make a change of another disk's log, without logging it."""
        if op.kind == "create":
            kind = "link" if op.what.startswith("link:") else op.what
            self._nodes.setdefault(op.inode, _Node(kind)).target = op.what[5:] if kind == "link" else ""
            self._next = max(self._next, op.inode + 1)
        for folder, name in op.entries[:1] if op.kind in ("remove", "rename") else ():
            self._nodes[folder].entries.pop(name, None)
        if op.kind in ("create", "rename"):
            folder, name = op.entries[-1]
            self._nodes[folder].entries[name] = op.inode
        if op.kind == "truncate" or op.data:
            data = self._nodes[op.inode].data
            if len(data) < op.offset:
                data.extend(bytes(op.offset - len(data)))
            if op.kind == "truncate":
                del data[op.offset :]
            data[op.offset : op.offset + len(op.data)] = op.data

    def copy(self) -> SimulatedDisk:
        """Another disk with the same content, and an empty log."""
        disk = SimulatedDisk()
        disk._nodes, disk._next = copy.deepcopy(self._nodes), self._next
        return disk

    def identity(self) -> str:
        """Digest of all that can be reached from the data folder."""
        found = hashlib.sha256()

        def walk(inode: int, path: str) -> None:
            node = self._nodes[inode]
            found.update(f"{path}\0{node.kind}\0{node.target}\0{len(node.data)}\0".encode() + node.data)
            for name in sorted(node.entries):
                walk(node.entries[name], f"{path}/{name}")

        walk(_ROOT, "")
        return found.hexdigest()


def after_kill(log: Sequence[Op], base: SimulatedDisk | None = None) -> SimulatedDisk:
    """The disk after a log: what a process finds that was killed while the machine lived on, still not durable."""
    disk = SimulatedDisk() if base is None else base.copy()
    for op in log:
        disk.apply(op)
    disk.log = list(log)
    return disk


def power_cuts(
    log: Sequence[Op], source: random.Random, limit: int = 64, base: SimulatedDisk | None = None
) -> Iterator[SimulatedDisk]:
    """Disks that may be found when power was lost after this log: up to `limit` distinct ones, all when there are no more.

    `base` is what the disk had, durably, before the log.
    """
    pending = [op for index, op in enumerate(log) if _is_pending(op, log[index + 1 :])]
    names_kept = _kept([op for op in pending if op.entries], source, limit)
    torn = _torn([op for op in pending if not op.entries], source, limit)
    both = list(itertools.product(names_kept, torn))
    source.shuffle(both)
    seen: set[str] = set()
    for names, changes in both:
        disk = SimulatedDisk() if base is None else base.copy()
        lost = {id(op) for op in pending if op.entries} - names
        for op in log:
            if op.kind == "create" and id(op) in lost:
                disk.apply(Op("create", op.inode, ((_limbo(disk), str(op.inode)),), what=op.what))
            elif id(op) not in lost:
                found = changes.get(id(op), op)
                if found is not None:
                    disk.apply(found)
        identity = disk.identity()
        if identity not in seen:
            seen.add(identity)
            yield disk
        if len(seen) >= limit:
            return


def _limbo(disk: SimulatedDisk) -> int:
    """A folder that nothing leads to, for what was made and never got its name."""
    disk._nodes.setdefault(-1, _Node("folder"))
    return -1


def _is_pending(op: Op, later: Sequence[Op]) -> bool:
    if op.kind.startswith("sync"):
        return False
    if op.entries:  # a rename is one transaction with the folder of its new name
        return not any(other.kind == "sync-folder" and other.inode == op.entries[-1][0] for other in later)
    return not any(other.kind == "sync-file" and other.inode == op.inode for other in later)


def _kept(ops: Sequence[Op], source: random.Random, limit: int) -> Iterator[frozenset[int]]:
    """Sets of changes of names that may have become durable; every set, or the prefixes and a sample."""
    before = [[early for early in range(late) if set(ops[early].entries) & set(ops[late].entries)] for late in range(len(ops))]

    def closed(chosen: set[int]) -> frozenset[int]:
        for late in range(len(ops) - 1, -1, -1):
            if late in chosen:
                chosen.update(before[late])
        return frozenset(id(ops[index]) for index in chosen)

    found = {closed(set(range(count))) for count in range(len(ops) + 1)}
    if len(ops) <= 6:
        found |= {closed({at for at in range(len(ops)) if bits >> at & 1}) for bits in range(1 << len(ops))}
    else:
        found |= {closed({at for at in range(len(ops)) if source.random() < 0.5}) for _ in range(limit)}
    yield from sorted(found, key=lambda kept: sorted(index for index, op in enumerate(ops) if id(op) in kept))


def _torn(ops: Sequence[Op], source: random.Random, limit: int) -> Iterator[dict[int, Op | None]]:
    """What may have become of writes that were not synced: by the id of the change, another in its place, or none."""
    yield {}
    if not ops:
        return
    yield {id(op): None for op in ops}
    yield {id(op): _zeros(op) for op in ops}
    last = ops[-1]
    yield {id(last): None}
    yield from ({id(last): _cut(last, units)} for units in range(1, min(limit, -(-len(last.data) // _UNIT))))
    for _ in range(limit):
        yield {id(op): source.choice([None, op, _patchy(op, source), _patchy(op, source), _zeros(op)]) for op in ops}


def _cut(op: Op, units: int) -> Op:
    return replace(op, data=op.data[: units * _UNIT])


def _zeros(op: Op) -> Op:
    return replace(op, data=bytes(len(op.data)))


def _patchy(op: Op, source: random.Random) -> Op:
    """The write up to some unit, some units of it zeros, as where blocks were given to the file and not yet written."""
    kept = op.data[: source.randint(0, -(-len(op.data) // _UNIT)) * _UNIT]
    pieces = [kept[at : at + _UNIT] for at in range(0, len(kept), _UNIT)]
    return replace(op, data=b"".join(piece if source.random() < 0.7 else bytes(len(piece)) for piece in pieces))
