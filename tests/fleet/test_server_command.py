"""`edgewright server`: the process, and the commands of its data folder."""

from __future__ import annotations

import functools
import http.server
import json
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time

import pytest
from commands import edgewright
from edgewright.cli.remote import Remote
from edgewright.core.clock import SystemClock
from edgewright.core.errors import EdgewrightError, VerificationError
from edgewright.fleet.http import Http
from tiny_artifact import write_tiny


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *given):
        pass


@pytest.fixture
def repository(tmp_path):
    """A signed repository with an artifact, and its address."""
    folder = tmp_path / "repo"
    edgewright("repo", "init", folder)
    edgewright("publish", write_tiny(tmp_path / "one.ewa"), "--repo", folder)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(QuietHandler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


class Served:
    """The server as a process of its own."""

    def __init__(self, tmp_path, repository, *options):
        folder, address = repository
        self.told = tmp_path / "told.txt"
        command = [sys.executable, "-u", "-m", "edgewright.cli.main", "server", "--data", str(tmp_path / "control")]
        command += ["--port", "0", "--repository", address, "--root", str(folder / "metadata" / "1.root.json"), *options]
        self._output = self.told.open("wb")
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self._output, text=True)
        self.first_line = self.process.stdout.readline()
        self.url = re.search(r"https?://[^;]+", self.first_line)[0]

    def __enter__(self):
        return self

    def __exit__(self, *given):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self._output.close()


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_people_knows_the_artifacts_and_ends_in_order(tmp_path, repository, ending):
    token = edgewright("server", "token", "--data", tmp_path / "control", "--name", "me", "--role", "admin").strip()
    with Served(tmp_path, repository) as served:
        asked = functools.partial(edgewright, EDGEWRIGHT_SERVER=served.url, EDGEWRIGHT_TOKEN=token)
        assert "no device has enrolled" in asked("devices", "list")
        assert re.fullmatch(r"[A-Za-z0-9_-]{20,}\.[0-9a-f]{64}\n", asked("devices", "enrol"))
        # A backup beside the running server holds what it was told.
        edgewright("server", "backup", tmp_path / "copy.sqlite", "--data", tmp_path / "control")
        served.process.send_signal(ending)
        assert served.process.wait(30) == 0
        told = served.told.read_text()
        assert token not in told + served.first_line
        assert "Traceback" not in told
    edgewright("server", "restore", tmp_path / "copy.sqlite", "--data", tmp_path / "new")
    assert "hold together" in edgewright("server", "verify", "--data", tmp_path / "new")


def test_the_engine_learns_what_is_signed(tmp_path, repository):
    token = edgewright("server", "token", "--data", tmp_path / "control", "--name", "me", "--role", "viewer").strip()
    with Served(tmp_path, repository) as served:
        remote, found, until = Remote(served.url, token), [], time.monotonic() + 150
        while not found and time.monotonic() < until:
            found = remote.call("GET", "artifacts")["artifacts"]
            time.sleep(0.1)
    assert [(item["model"], item["version"]) for item in found] == [("tiny", 1)]


def test_a_head_that_does_not_end_is_cut(tmp_path, repository):
    with Served(tmp_path, repository) as served:
        host, port = served.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=30) as connection:
            connection.sendall(b"GET /v1/health HTTP/1.1\r\nHost: a\r\n")
            sent = 0
            with pytest.raises((ConnectionResetError, BrokenPipeError)):
                while sent < 64 << 20:
                    connection.sendall(b"X-More: " + b"x" * 1000 + b"\r\n")
                    sent += 1010
            assert sent < 16 << 20


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--repository", "here", "--root", __file__), "is no address"),
        (("--repository", "http://x", "--root", "missing.json"), "cannot read the root"),
        (("--repository", "http://x", "--root", __file__, "--tls-cert", __file__), "belong together"),
        (("--repository", "http://x"), "give what to serve"),
        (("--database", "mysql://x", "--repository", "http://x", "--root", __file__), "no kind of database"),
        (("backup", "x.sqlite"), "there is no control plane's database"),
        (("verify",), "there is no control plane's database"),
        (("prune", "--older", "1"), "there is no control plane's database"),
        (("restore", "missing.sqlite"), "missing.sqlite"),
        (("token", "--name", "a\nb", "--role", "viewer"), "is no name"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(tmp_path, arguments, sentence):
    # The same options may stand behind the command and before it.
    with pytest.raises(EdgewrightError, match=sentence) as found:
        edgewright("server", "--data", tmp_path / "control", *arguments)
    assert "\n" not in str(found.value)


def test_a_root_that_signs_nothing_here_stops_rollouts_and_no_device(tmp_path, repository):
    edgewright("repo", "init", tmp_path / "other")
    with Served(tmp_path, (tmp_path / "other", repository[1])) as served:
        until = time.monotonic() + 150
        while "cannot be trusted" not in served.told.read_text() and time.monotonic() < until:
            time.sleep(0.1)
        assert Http(SystemClock()).get(f"{served.url}/v1/health", max_bytes=1000).status == 200
        assert "cannot be trusted" in served.told.read_text()


def test_a_log_that_was_changed_is_found_out(tmp_path):
    data = ("--data", tmp_path / "control")
    edgewright("server", "token", "--name", "me", "--role", "viewer", *data)
    edgewright("server", "token", "--name", "you", "--role", "viewer", *data)
    assert json.loads(edgewright("server", "verify", "--json", *data))["count"] == 2
    connection = sqlite3.connect(tmp_path / "control" / "control.sqlite")
    for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        connection.execute(f"DROP TRIGGER {name}")
    connection.execute("UPDATE audit SET actor = 'somebody else' WHERE place = 1")
    connection.commit()
    connection.close()
    with pytest.raises(VerificationError, match="entry 1 of the audit log was changed"):
        edgewright("server", "verify", *data)


def test_what_is_old_is_pruned(tmp_path):
    data = ("--data", tmp_path / "control")
    edgewright("server", "token", "--name", "me", "--role", "viewer", *data)
    removed = json.loads(edgewright("server", "prune", "--older", "1", "--json", *data))
    assert removed == {"drift_windows": 0, "reports": 0, "samples": 0, "windows": 0}
