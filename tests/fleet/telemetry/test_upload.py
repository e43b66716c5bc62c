"""Samples on their way to the server: sent once, removed once they are there, kept while they are not."""

from __future__ import annotations

import time

import pytest
from edgewright.core.errors import NetworkError
from edgewright.fleet.telemetry.sampling import MAY_LEAVE
from edgewright.fleet.telemetry.upload import NotTaken, Uploader


class Server:
    """Takes so many; refuses what begins with `bad`; after `until` the network is gone."""

    def __init__(self, most=1000, until=1000):
        self.taken, self.asked, self.most, self.until = [], 0, most, until

    def send_sample(self, data):
        self.asked += 1
        if self.asked > self.until:
            raise NetworkError("gone.")
        if data.startswith(b"bad"):
            raise NotTaken("the server does not answer POST /v1/samples (status 400); ask who runs it.")
        if len(self.taken) >= self.most:
            return False
        self.taken.append(data)
        return True


@pytest.fixture
def folder(tmp_path):
    for day in ("2026-01-02", "2026-01-01"):
        (tmp_path / day).mkdir()
        for number in range(3):
            (tmp_path / day / f"digits-{number}-1-1{MAY_LEAVE}").write_bytes(f"{day} {number}".encode())
        (tmp_path / day / "digits-9-1-1.npz").write_bytes(b"of nobody who agreed")
    return tmp_path


def left(folder):
    return sorted(path.name for path in folder.rglob("*.npz"))


def test_what_may_leave_is_sent_oldest_day_first_and_removed(folder):
    server = Server()
    assert Uploader(folder, server).send() == 6
    assert server.taken == [f"2026-01-0{day} {number}".encode() for day in (1, 2) for number in range(3)]
    assert left(folder) == ["digits-9-1-1.npz"] * 2
    assert Uploader(folder, server).send() == 0


def test_what_the_network_or_the_server_does_not_take_now_stays(folder):
    with pytest.raises(NetworkError):
        Uploader(folder, Server(until=2)).send()
    assert len(left(folder)) == 6
    assert Uploader(folder, Server(most=1)).send() == 1
    assert len(left(folder)) == 5


def test_one_that_will_never_be_taken_stays_and_holds_nobody_up(folder, caplog):
    (folder / "2026-01-01" / f"digits-1-1-1{MAY_LEAVE}").write_bytes(b"bad")
    server = Server()
    uploader = Uploader(folder, server)
    assert (uploader.send(), uploader.send()) == (5, 0)
    assert server.asked == 6  # it is not asked again
    assert len(caplog.records) == 1
    assert left(folder) == sorted([f"digits-1-1-1{MAY_LEAVE}", *["digits-9-1-1.npz"] * 2])


def test_days_that_are_empty_go_and_links_are_left_alone(folder, tmp_path):
    (folder / "2026-01-03").mkdir()
    (folder / "2026-01-01" / f"digits-7-1-1{MAY_LEAVE}").symlink_to("/etc/hostname")
    today = folder / time.strftime("%Y-%m-%d", time.gmtime())
    today.mkdir()  # a worker made it, and writes a sample into it next
    server = Server()
    assert Uploader(folder, server).send() == 6
    assert not (folder / "2026-01-03").exists()
    assert today.is_dir()
    assert all(data.startswith(b"2026") for data in server.taken)
    assert Uploader(tmp_path / "nothing", server).send() == 0
