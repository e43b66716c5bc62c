"""What waits for the server: exact under kills, power cuts, lost answers and full disks."""

from __future__ import annotations

import contextlib
import random
from dataclasses import replace

import pytest
from edgewright.core.errors import NetworkError, ProtocolError, StoreError
from edgewright.fleet.disk import RealDisk
from edgewright.fleet.protocol.window import LATENCY_BINS, Batch, Window, merge_all
from edgewright.fleet.telemetry.ledger import accept
from edgewright.fleet.telemetry.spool import Spool
from simulated import SimulatedDisk, after_kill, power_cuts


def window(number, model="digits", sha256="ab" * 32):
    return Window(
        model,
        sha256,
        600 * number,
        600 * number + 599,
        1,
        number,
        number,
        0,
        (0, 0, 1, 0),
        (number,) * LATENCY_BINS,
        ((number, 7),),
    )


class Server:
    """Takes batches as the control plane does; `lose` lets answers get lost."""

    def __init__(self):
        self.highest, self.windows, self.lose = {}, [], False

    def send_telemetry(self, frames):
        found = accept(Batch.decode(frames), self.highest)
        self.windows += [one for _, one in found.windows]
        self.highest[found.stream, found.model] = found.highest
        if self.lose:
            raise NetworkError("the answer is lost.")
        return found.highest


def send_all(spool, server):
    while (chosen := spool.batch()) is not None:
        model, frames = chosen
        spool.acknowledge(model, server.send_telemetry(frames))


def totals(windows):
    found = {}
    for one in windows:
        found.setdefault((one.model, one.sha256), []).append(one)
    return {key: replace(merge_all(several)) for key, several in found.items()}


def test_windows_are_sent_in_order_and_then_gone():
    disk, server = SimulatedDisk(), Server()
    spool = Spool(disk, "00000001-a")
    for number in range(1, 5):
        assert spool.add(window(number), f"live-{number}")
        assert spool.add(window(number), f"live-{number}")  # the file came back
    send_all(spool, server)
    assert server.windows == [window(number) for number in range(1, 5)]
    assert (spool.windows, spool.size_bytes, spool.batch()) == (0, 0, None)


def test_a_lost_answer_counts_nothing_twice_also_over_starts_of_the_agent():
    disk, server = SimulatedDisk(), Server()
    spool = Spool(disk, "00000001-a")
    spool.add(window(1), "1")
    server.lose = True
    with pytest.raises(NetworkError):
        send_all(spool, server)
    for boot in "bcd":
        spool = Spool(disk, f"0000000{boot}")
        spool.add(window(ord(boot)), boot)
        with pytest.raises(NetworkError):
            send_all(spool, server)
    server.lose = False
    send_all(Spool(disk, "9"), server)
    assert server.windows == [window(number) for number in (1, *map(ord, "bcd"))]


def test_a_new_stream_begins_when_nothing_waits():
    disk, server = SimulatedDisk(), Server()
    for boot in ("one", "two"):
        spool = Spool(disk, boot)
        spool.add(window(1), "same name of a file")
        send_all(spool, server)
    assert sorted(server.highest) == [("one", "digits"), ("two", "digits")]
    assert len(server.windows) == 2


def test_a_full_spool_merges_what_was_never_tried_and_says_so():
    disk, server = SimulatedDisk(), Server()
    spool = Spool(disk, "boot", max_bytes=1200)
    for number in range(1, 200):
        assert spool.add(window(number), str(number))
        assert spool.size_bytes <= 1200
    assert spool.windows < 20
    send_all(Spool(disk, "later", max_bytes=1200), server)
    assert totals(server.windows) == totals(window(number) for number in range(1, 200))
    assert sum(one.merged for one in server.windows) == 199
    assert max(one.merged for one in server.windows) < 199


def test_what_was_tried_is_never_merged():
    spool, server = Spool(SimulatedDisk(), "boot", max_bytes=1200), Server()
    spool.add(window(1), "1")
    spool.add(window(2), "2")
    _, frames = spool.batch()
    server.send_telemetry(frames)  # the answer never comes
    for number in range(3, 60):
        spool.add(window(number), str(number))
    send_all(spool, server)
    assert totals(server.windows) == totals(window(number) for number in range(1, 60))


def test_windows_of_different_artifacts_are_not_merged_and_without_room_the_spool_says_no():
    spool = Spool(SimulatedDisk(), "boot", max_bytes=400)
    taken = [spool.add(window(number, sha256=f"{number:064x}"), str(number)) for number in range(1, 9)]
    assert taken[:2] == [True, True]
    assert not any(taken[3:])


def test_a_server_that_claims_too_much_loses_nothing():
    spool = Spool(SimulatedDisk(), "boot")
    spool.add(window(1), "1")
    with pytest.raises(ProtocolError, match="never sent"):
        spool.acknowledge("digits", 1)
    assert spool.windows == 1


def test_a_full_disk_refuses_and_keeps_what_there_was():
    disk, server = SimulatedDisk(capacity=7500), Server()
    spool = Spool(disk, "boot")
    kept = []
    with pytest.raises(StoreError):
        for number in range(1, 100):
            spool.add(window(number), str(number))
            kept.append(window(number))
    assert kept
    server.lose = True
    with pytest.raises(NetworkError):
        send_all(spool, server)
    server.lose = False
    send_all(Spool(disk, "another start, still full"), server)
    assert totals(server.windows) == totals(kept)


@pytest.mark.parametrize("model", ["reserve", "stream.json", "models", "spool"])
def test_a_model_may_be_called_like_a_file_of_the_spool(model):
    disk, server = SimulatedDisk(), Server()
    assert Spool(disk, "one").add(window(1, model), "1")
    spool = Spool(disk, "two")
    assert spool.add(window(2, model), "2")
    send_all(spool, server)
    assert server.windows == [window(1, model), window(2, model)]


def test_no_power_cut_brings_a_window_of_the_old_stream_into_the_new_one():
    disk, server = SimulatedDisk(), Server()
    spool = Spool(disk, "one")
    spool.add(window(1), "1")
    send_all(spool, server)
    Spool(disk, "two")
    for found in power_cuts(disk.log, random.Random(0)):
        again = Server()
        again.highest, again.windows = dict(server.highest), list(server.windows)
        send_all(Spool(found, "three"), again)
        assert again.windows == [window(1)]


def test_a_window_that_cannot_be_read_is_passed_over_and_its_number_is_not_used_again(tmp_path, caplog):
    disk, server = RealDisk(tmp_path), Server()
    spool = Spool(disk, "boot")
    for number in (1, 2, 3):
        spool.add(window(number), str(number))
    names = sorted(path for path in tmp_path.rglob("0*"))
    for path in names[1:]:
        path.unlink()
        path.mkdir()
    later = Spool(disk, "later")
    assert "passed over" in caplog.text
    assert later.add(window(4), "4")
    _, frames = later.batch()
    assert [sequence for sequence, _ in Batch.decode(frames).windows] == [1, 4]
    send_all(later, server)
    assert server.windows == [window(1), window(4)]
    assert list(server.highest) == [("boot", "digits")]


def test_windows_are_not_merged_over_one_that_cannot_be_read(tmp_path):
    disk = RealDisk(tmp_path)
    spool = Spool(disk, "boot")
    for number in (1, 2, 3):
        spool.add(window(number), str(number))
    (hidden,) = tmp_path.rglob("000000000002")
    data = hidden.read_bytes()
    hidden.unlink()
    hidden.mkdir()
    later = Spool(disk, "later", max_bytes=spool.size_bytes * 2 // 3 + 1)
    assert not later.add(window(4), "4")
    hidden.rmdir()
    hidden.write_bytes(data)
    server = Server()
    send_all(Spool(disk, "later still"), server)
    assert server.windows == [window(1), window(2), window(3)]


class Story:
    """A device's life on one disk, with what a crash leaves elsewhere: the files that windows were counted in, and the server.

    `moments` are (length of the disk's log, counted windows, files, server's highest, server's windows)."""

    def __init__(self, seed, steps=12):
        self.disk, self.server, self.counted, self.files, self.moments = SimulatedDisk(), Server(), [], {}, []
        draw = random.Random(seed)
        spool = Spool(self.disk, "boot", max_bytes=900)
        plain = self.server.send_telemetry

        def send(frames):
            try:
                return plain(frames)
            finally:
                self.note()

        self.server.send_telemetry = send
        self.note()
        for number in range(1, steps + 1):
            one = window(number, model=draw.choice(("digits", "kws")))
            self.counted.append(one)
            self.files[str(number)] = one
            self.note()
            spool.add(one, str(number))
            del self.files[str(number)]
            self.note()
            if draw.random() < 0.4:
                self.server.lose = draw.random() < 0.5
                with contextlib.suppress(NetworkError):
                    send_all(spool, self.server)

    def note(self):
        server = self.server
        state = list(self.counted), dict(self.files), dict(server.highest), list(server.windows)
        self.moments.append((len(self.disk.log), *state))

    def at(self, place):
        """What there may be elsewhere when the disk's log has this length."""
        here = [moment[1:] for moment in self.moments if moment[0] == place]
        before = [moment[1:] for moment in self.moments if moment[0] < place][-1:]
        return before + here


@pytest.mark.parametrize("seed", range(4))
def test_a_kill_or_a_power_cut_at_any_moment_loses_nothing_and_counts_nothing_twice(seed):
    story = Story(seed)
    checked = 0
    for place in range(story.moments[0][0], len(story.disk.log) + 1):
        log = story.disk.log[:place]
        for counted, files, highest, windows in story.at(place):
            for found in [after_kill(log), *power_cuts(log, random.Random(place), limit=4)]:
                server = Server()
                server.highest, server.windows = dict(highest), list(windows)
                spool = Spool(found, "after", max_bytes=900)
                waiting = {name: one for name, one in files.items() if not spool.add(one, name)}
                send_all(spool, server)
                assert all(spool.add(one, name) for name, one in waiting.items())
                send_all(spool, server)
                assert totals(server.windows) == totals(counted)
                checked += 1
    assert checked > 200
