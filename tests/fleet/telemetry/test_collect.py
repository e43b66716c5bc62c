"""The updater's side of telemetry where the disk, other users and the server are not as they should be."""

from __future__ import annotations

import fcntl
import os
import tempfile
from pathlib import Path

import pytest
from edgewright.core.errors import ProtocolError
from edgewright.fleet.disk import RealDisk
from edgewright.fleet.protocol.window import LATENCY_BINS, Batch, Window
from edgewright.fleet.telemetry import live
from edgewright.fleet.telemetry.collect import Collector
from edgewright.fleet.telemetry.ledger import accept
from simulated import SimulatedDisk

_NOBODY = 65534


class Server:
    """Counts as the control plane does; `refuses` names a model whose batches it takes for no telemetry."""

    def __init__(self, refuses=None):
        self.refuses, self.highest, self.windows, self.asked = refuses, {}, [], 0

    def send_telemetry(self, frames):
        self.asked += 1
        found = accept(Batch.decode(frames), self.highest)
        if found.model == self.refuses:
            raise ProtocolError("this is no telemetry.")
        self.windows += [one for _, one in found.windows]
        self.highest[found.stream, found.model] = found.highest
        return found.highest


@pytest.fixture
def folder(tmp_path):
    return tmp_path / live.FOLDER


def counted(folder, model="digits", number=1):
    """A file of one request whose owner has closed it."""
    opened = live.create(folder, live.Head(model, "ab" * 32, (2,)), 1000 * number, number)
    opened.pages[-8 * (live.TENSORS + 2) + 8 * live.REQUESTS] = 1
    live.close(opened)


def collector_of(folder, boot="boot"):
    return Collector(RealDisk(folder.parents[1]), boot)


def window(model="digits", number=1):
    return Window(model, "ab" * 32, 0, 9, 1, number, 1, 0, (0,) * 4, (0,) * LATENCY_BINS, ((1, 0),))


def test_a_file_that_cannot_be_read_holds_up_no_other(folder, caplog):
    counted(folder)
    (folder / "digits-1-1-1.closed").mkdir()  # as unreadable as a file of another user
    server = Server()
    collector = collector_of(folder)
    collector.send(server)
    collector.send(server)
    assert [one.requests for one in server.windows] == [1]
    assert caplog.text.count("passed over") == 1


@pytest.fixture
def others():
    """A data folder of this user whose folder of counts belongs to another."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        data = Path(name)
        data.chmod(0o755)
        counted(data / live.FOLDER)
        if os.geteuid() == 0:
            for path in (data, data / "telemetry"):
                os.chown(path, _NOBODY, _NOBODY)
            os.seteuid(_NOBODY)
        else:
            (data / live.FOLDER).chmod(0o555)
        yield data
        if os.getuid() == 0:
            os.seteuid(0)
        (data / live.FOLDER).chmod(0o755)


def test_windows_in_a_folder_of_another_user_stay_there_and_what_waits_is_sent(others, caplog):
    disk = RealDisk(others)
    collector = Collector(disk, "boot")
    assert collector.spool.add(window(), "before")
    server = Server()
    collector.send(server)
    assert server.windows == [window()]
    assert len(list(live.finished(others / live.FOLDER))) == 1
    assert "may not change" in caplog.text


def test_a_full_disk_at_the_start_keeps_telemetry_waiting_not_the_agent(caplog):
    disk, server = SimulatedDisk(capacity=0), Server()
    collector = Collector(disk, "boot")
    assert "telemetry waits" in caplog.text
    disk.capacity = None
    collector.send(server)
    assert collector.spool.add(window(), "1")
    collector.send(server)
    assert server.windows == [window()]


def test_a_batch_that_is_refused_holds_up_its_own_model_only():
    collector = Collector(SimulatedDisk(), "boot")
    for model in ("bad", "digits"):
        collector.spool.add(window(model), model)
    server = Server(refuses="bad")
    with pytest.raises(ProtocolError, match="no telemetry"):
        collector.send(server)
    assert server.windows == [window("digits")]
    assert collector.spool.windows == 1


def test_a_server_that_takes_nothing_is_asked_once():
    collector = Collector(SimulatedDisk(), "boot")
    collector.spool.add(window(), "1")

    class Forgetful(Server):
        def send_telemetry(self, frames):
            self.asked += 1
            return 0

    server = Forgetful()
    collector.send(server)
    assert (server.asked, collector.spool.windows) == (1, 1)


def test_no_moment_of_making_a_file_lets_it_be_taken_for_an_orphan(folder, monkeypatch):
    collector, lock, looks = collector_of(folder), fcntl.flock, []

    def look_before(handle, how):
        if how == fcntl.LOCK_EX and not looks:
            looks.append(collector.collect())
        return lock(handle, how)

    monkeypatch.setattr(fcntl, "flock", look_before)
    opened = live.create(folder, live.Head("digits", "ab" * 32, ()), 1, 1)
    assert looks == [0]
    assert opened.path.suffix == live.OPEN
    opened.pages[-8 * live.TENSORS + 8 * live.REQUESTS] = 1
    live.close(opened)
    assert collector.collect() == 1


def test_what_a_process_had_begun_when_it_died_goes(folder):
    folder.mkdir(parents=True)
    (folder / "digits-1-1-1.new").write_bytes(b"")
    collector_of(folder).collect()
    assert list(folder.iterdir()) == []


def test_a_closed_window_is_durable_before_it_has_its_name(folder, monkeypatch):
    synced, sync = [], os.fsync

    def note(handle):
        synced.append((Path(os.readlink(f"/proc/self/fd/{handle}")).suffix, [path.suffix for path in folder.iterdir()]))
        sync(handle)

    monkeypatch.setattr(os, "fsync", note)
    counted(folder)
    assert synced == [(".open", [".open"]), ("", [".closed"])]


def test_a_file_that_its_owner_closes_during_the_look_is_no_orphan(folder, monkeypatch):
    opened = live.create(folder, live.Head("digits", "ab" * 32, ()), 1, 1)
    lock = fcntl.flock

    def close_before(handle, how):
        if opened.path.exists():
            live.close(opened)
        return lock(handle, how)

    monkeypatch.setattr(fcntl, "flock", close_before)
    assert list(live.finished(folder)) == []
    assert [path.suffix for path in live.finished(folder)] == [live.CLOSED]
