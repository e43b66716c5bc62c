"""The whole chain with real parts: sign, publish, enrol, download, verify, switch, serve, report; network, folder and tar."""

from __future__ import annotations

import functools
import http.server
import json
import signal
import subprocess
import sys
import tarfile
import threading
import time

import pytest
from commands import Asked, edgewright
from control_plane import Control
from edgewright.core.errors import AgentError, EdgewrightError, UsageError, VerificationError
from tiny_artifact import write_tiny


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *given):
        pass


def agent(*arguments):
    """What the device runs after one poll."""
    told = json.loads(edgewright("agent", "--once", "--json", "--trial", "0", *arguments))
    return {row["model"]: row["version"] for row in told["models"] if row["running"] is not None}


@pytest.fixture
def repository(tmp_path):
    edgewright("repo", "init", tmp_path / "repo")
    edgewright("publish", write_tiny(tmp_path / "one.ewa"), "--repo", tmp_path / "repo")
    return tmp_path / "repo"


@pytest.fixture
def served(repository):
    handler = functools.partial(QuietHandler, directory=str(repository))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def root_of(repository):
    return repository / "metadata" / "1.root.json"


def test_an_enrolled_device_follows_what_is_published(tmp_path, repository, served):
    control = Control(tmp_path / "control", served, root=root_of(repository))
    asked = Asked(control, tmp_path / "me.token")
    try:
        token = asked("devices", "enrol").strip()
        data = ("--data", tmp_path / "device")
        told = ("--attribute", "site=lab", "--attribute", "floor=2")
        assert agent(*data, "--server", control.url, "--token", token, *told) == {}
        (known,) = json.loads(asked("devices", "list", "--where", "site = lab and floor > 1", "--json"))["devices"]
        asked("devices", "assign", known["device"], "tiny", "--follow")
        assert agent(*data) == {"tiny": 1}
        edgewright("publish", write_tiny(tmp_path / "two.ewa", 2.0), "--repo", repository)
        assert agent(*data) == {"tiny": 2}
        said = json.loads(asked("devices", "show", known["device"], "--json"))["models"]["tiny"]["said"]
        listed = json.loads(edgewright("repo", "status", repository, "--json"))
        assert said["running"] in json.dumps(listed)
        # A version that does not answer its own test vectors is never committed, and not tried again.
        edgewright("publish", write_tiny(tmp_path / "bad.ewa", 3.0, wrong=True), "--repo", repository)
        assert agent(*data) == {"tiny": 2}
        assert agent(*data) == {"tiny": 2}
        (known,) = control.store.devices()
        assert known["models"]["tiny"]["said"]["running"] == said["running"]
    finally:
        control.close()


def test_a_device_without_a_server_takes_a_folder_and_a_tar(tmp_path, repository):
    data = ("--data", tmp_path / "device", "--model", "tiny")
    assert agent(*data, "--repo", repository, "--root", root_of(repository)) == {"tiny": 1}
    edgewright("publish", write_tiny(tmp_path / "two.ewa", 2.0), "--repo", repository)
    with tarfile.open(tmp_path / "stick.tar", "w") as tar:
        tar.add(repository, "repo")
    assert agent(*data, "--repo", tmp_path / "stick.tar") == {"tiny": 2}
    # Without the stick it serves what it has.
    (tmp_path / "stick.tar").unlink()
    assert agent(*data, "--repo", tmp_path / "stick.tar") == {"tiny": 2}


def test_another_root_is_not_believed(tmp_path, repository):
    edgewright("repo", "init", tmp_path / "other")
    data = ("--data", tmp_path / "device", "--model", "tiny", "--repo", repository)
    assert agent(*data, "--root", root_of(tmp_path / "other")) == {}


def test_who_starts_an_agent_is_told_whom_it_follows_and_how_it_ends(tmp_path, repository):
    command = [sys.executable, "-m", "edgewright.cli.main", "agent", "--data", str(tmp_path / "device"), "--model", "tiny"]
    command += ["--repo", str(repository), "--root", str(root_of(repository)), "--poll", "0.1"]
    until = time.monotonic() + 120
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline().startswith("following tiny; data in ")
            while not (tmp_path / "device" / "run" / "tiny.sock").exists() and time.monotonic() < until:
                time.sleep(0.05)
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        (("--once",), UsageError, "needs to know what to run"),
        (("--model", "m"), UsageError, "say where artifacts come from"),
        (("--model", "m", "--repo", "ftp://x"), UsageError, "of a kind that is not known"),
        (("--model", "m", "--repo", "nowhere"), VerificationError, "root"),
        (("--server", "http://127.0.0.1:1"), AgentError, "is not enrolled"),
        (("--token", "t"), UsageError, "--token is for a server"),
        (("--offline",), UsageError, "--offline needs a place"),
        (("--new-key",), UsageError, "give --once with it"),
        (("--new-key", "--once", "--model", "m", "--repo", "x"), UsageError, "only a device that asks a server"),
        (("--json",), UsageError, "--json prints what runs at the end of --once"),
        (("--attribute", "site"), UsageError, "is not NAME=VALUE"),
        (("--attribute", "group=beta"), UsageError, "formed by the server itself"),
        (("--attribute", "a b=beta"), UsageError, "no name of an attribute"),
        (("--samples-below", "0.4"), UsageError, "--samples-consent"),
        (("--samples-consent", "me", "--samples-redact", "f"), UsageError, "not module:function"),
        (("--model", "m", "--repo", "x", "--socket", "m"), UsageError, "is not MODEL=PATH"),
        (("--model", "m", "--repo", "x", "--socket", "m=65536"), UsageError, "ports go up to 65535"),
        (("--model", "m", "--repo", "x", "--socket", "m=" + "9" * 5000), UsageError, "ports go up to 65535"),
        (("--model", "m", "--repo", "x", "--root", "missing.json"), EdgewrightError, "cannot read the root"),
    ],
)
def test_what_cannot_be_run_is_one_sentence(tmp_path, arguments, error, sentence):
    with pytest.raises(error, match=sentence):
        edgewright("agent", "--data", tmp_path / "device", *arguments)
