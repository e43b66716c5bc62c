"""A device with a data folder of its own, and a repository of which it asks for roots only."""

from __future__ import annotations

from edgewright.core.canonical import digest
from edgewright.core.clock import SystemClock
from edgewright.fleet.agent.enrol import enrol
from edgewright.fleet.agent.identity import load_identity, load_key
from edgewright.fleet.agent.server import ControlServer
from edgewright.fleet.disk import RealDisk
from edgewright.fleet.http import Http, Limits

ROOT = b'{"signed": "the first"}'
REPOSITORY = "http://127.0.0.1:1/repository"
FAST = Limits(connect_s=2, head_s=5, total_s=5, window_s=2, attempts=2, first_wait_s=0.0, longest_wait_s=0.0)


class Roots:
    """A repository of which only roots are asked."""

    def __init__(self, *roots):
        self.roots = roots

    def metadata(self, name, max_bytes):
        version = int(name.partition(".")[0])
        return self.roots[version - 1] if version <= len(self.roots) else None


class DeviceClock(SystemClock):
    ahead_s = 0.0

    def now(self):
        return super().now() + self.ahead_s


class Device:
    def __init__(self, folder):
        folder.mkdir()
        self.folder, self.disk, self.clock = folder, RealDisk(folder), DeviceClock()
        self.http = Http(self.clock, limits=FAST)

    def enrol(self, control, token=None, roots=(ROOT,)):
        given = token or token_of(control)
        return enrol(self.disk, self.http, control.url, given, {REPOSITORY: Roots(*roots)})

    @property
    def server(self):
        return ControlServer(self.disk, self.http, load_identity(self.disk), load_key(self.disk))


def token_of(control, root=ROOT, valid_s=60.0):
    return f"{control.store.make_token(valid_s, 'test')}.{digest(root)}"
