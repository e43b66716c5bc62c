"""The HTTP client against servers that do what they should not: it always ends, within its bounds, with one sentence."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from random import Random

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from edgewright.core.clock import SystemClock
from edgewright.core.errors import NetworkError, UsageError
from edgewright.fleet.http import Http, Limits, TransientError
from faulty_server import Fault, FaultyServer
from simulated import SimulatedClock

DATA = Random(1).randbytes(300_000)
QUICK = Limits(head_s=0.4, window_s=0.4, total_s=5.0, least_rate=50_000, attempts=3, first_wait_s=0.001)

# For servers that do answer: nothing here may depend on how busy the machine is.
PATIENT = Limits(attempts=3, first_wait_s=0.001)


def patient(**more: object) -> Http:
    return Http(SystemClock(), limits=PATIENT, jitter=Random(1), **more)  # type: ignore[arg-type]


def quick(**more: object) -> Http:
    return Http(SystemClock(), limits=QUICK, jitter=Random(1), **more)  # type: ignore[arg-type]


def test_a_file_and_a_part_of_it() -> None:
    with FaultyServer({"/a": DATA}) as server:
        http = patient()
        assert http.get(f"{server.url}/a", max_bytes=len(DATA)).body == DATA
        with http.flow(f"{server.url}/a", start=100, length=len(DATA)) as flow:
            assert (flow.status, flow.start, flow.total) == (206, 100, len(DATA))
            assert b"".join(flow.pieces) == DATA[100:]
        with http.flow(f"{server.url}/a", start=0, length=5000) as flow:
            assert b"".join(flow.pieces) == DATA[:5000]


def test_a_connection_is_used_again_and_its_watch_ends() -> None:
    with FaultyServer({"/a": b"x"}) as server:
        http = patient()
        for _ in range(3):
            http.get(f"{server.url}/a", max_bytes=1)
        assert http.get(f"{server.url}/a", max_bytes=1, etag='"1"').status == 304
        serving = [thread for thread in threading.enumerate() if "process_request_thread" in thread.name]
        assert len(serving) == 1


def test_more_bytes_than_allowed() -> None:
    with FaultyServer({"/a": DATA}) as server:
        with pytest.raises(NetworkError, match="more than the 1000 bytes"):
            patient().get(f"{server.url}/a", max_bytes=1000)
        server.faults = lambda path, number: Fault(is_endless=True)
        with pytest.raises(NetworkError, match="more than the 400000 bytes"):
            patient().get(f"{server.url}/a", max_bytes=400_000)


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Fault(head_drip_s=0.05), id="head byte by byte"),
        pytest.param(Fault(drip_s=0.02), id="body byte by byte"),
        pytest.param(Fault(drip_s=30.0), id="silence in the body"),
        pytest.param(Fault(head_drip_s=30.0), id="silence before the head"),
        pytest.param(Fault(rate=20_000.0), id="slow"),
    ],
)
def test_slow_retrieval(fault: Fault) -> None:
    with FaultyServer({"/a": DATA}, lambda path, number: fault) as server, pytest.raises(NetworkError):
        Http(SystemClock(), limits=Limits(**{**vars(QUICK), "attempts": 1})).get(f"{server.url}/a", max_bytes=len(DATA))


def test_a_whole_answer_has_its_time_however_many_bytes_it_may_have() -> None:
    """A server just above the least rate; a file that is read piece by piece is let go on."""
    limits = Limits(total_s=0.3, least_rate=1.0, attempts=1)
    with FaultyServer({"/a": DATA}, lambda path, number: Fault(rate=500_000.0)) as server:
        http = Http(SystemClock(), limits=limits)
        with pytest.raises(NetworkError, match="longer than is allowed"):
            http.get(f"{server.url}/a", max_bytes=10**9)
        with http.flow(f"{server.url}/a", start=0, length=len(DATA)) as flow:
            assert b"".join(flow.pieces) == DATA


def test_no_thread_to_watch_over_the_exchange(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit on threads was met: an exchange that nobody could end is not begun."""
    with FaultyServer({"/a": b"ok"}) as server:
        http = Http(SimulatedClock(), limits=PATIENT)
        start, left = threading.Thread.start, [1]

        def refuse(thread: threading.Thread) -> None:
            if "Watch" in repr(getattr(thread, "_target", "")) and left[0]:
                left[0] -= 1
                raise RuntimeError("can't start new thread")
            start(thread)

        monkeypatch.setattr(threading.Thread, "start", refuse)
        assert http.get(f"{server.url}/a", max_bytes=10).body == b"ok"
        left[0] = PATIENT.attempts
        with pytest.raises(TransientError, match="cannot be reached"):
            Http(SimulatedClock(), limits=PATIENT).get(f"{server.url}/a", max_bytes=10)


def test_a_peer_that_takes_a_connection_and_says_nothing() -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        for scheme in ("http", "https"):
            with pytest.raises(NetworkError, match="does not answer in time"):
                quick().post(f"{scheme}://127.0.0.1:{silent.getsockname()[1]}/", b"x", max_bytes=10)


def test_what_may_pass_is_tried_again_with_jitter() -> None:
    clock = SimulatedClock()
    http = Http(clock, limits=Limits(attempts=5, first_wait_s=1.0, longest_wait_s=4.0), jitter=Random(1))
    faults = [Fault(status=503), Fault(cut=10), Fault(cut=10, is_reset=True), Fault(status=429, retry_after="3")]
    with FaultyServer({"/a": DATA}, lambda path, number: faults[number] if number < 4 else None) as server:
        assert http.get(f"{server.url}/a", max_bytes=len(DATA)).body == DATA
    assert len(clock.slept) == 4
    assert all(0 <= slept <= bound for slept, bound in zip(clock.slept, (1, 2, 4, 4), strict=True))
    assert clock.slept[3] >= 3


@pytest.mark.parametrize(
    ("fault", "tries"), [(Fault(status=503), 3), (Fault(status=404), 1), (Fault(status=500, retry_after="9" * 400), 3)]
)
def test_tries_are_bounded(fault: Fault, tries: int) -> None:
    with FaultyServer({"/a": DATA}, lambda path, number: fault) as server:
        http = Http(SimulatedClock(), limits=PATIENT, jitter=Random(1))
        if fault.status == 404:
            assert http.get(f"{server.url}/a", max_bytes=100).status == 404
        else:
            with pytest.raises(TransientError, match=f"answers with {fault.status}"):
                http.get(f"{server.url}/a", max_bytes=100)
        assert len(server.requests) == tries


def test_tries_end_though_many_are_left() -> None:
    limits = Limits(total_s=1.0, attempts=1000, first_wait_s=0.1, longest_wait_s=0.5)
    with FaultyServer({}, lambda path, number: Fault(status=503)) as server:
        with pytest.raises(TransientError):
            Http(clock := SimulatedClock(), limits=limits, jitter=Random(1)).get(f"{server.url}/a", max_bytes=100)
        assert 2 <= len(server.requests) < 50
        assert sum(clock.slept) <= 1.5


def test_a_post_is_not_sent_twice_unless_asked() -> None:
    with FaultyServer({"/a": b"ok"}, lambda path, number: Fault(status=503) if number < 2 else None) as server:
        http = Http(SimulatedClock(), limits=PATIENT)
        with pytest.raises(NetworkError):
            http.post(f"{server.url}/a", b"x", max_bytes=10)
        assert len(server.requests) == 1
        assert http.post(f"{server.url}/a", b"x", max_bytes=10, attempts=2).body == b"ok"


def test_a_redirection_is_not_followed() -> None:
    with (
        FaultyServer({"/a": b"ok"}, lambda path, number: Fault(status=302)) as server,
        pytest.raises(NetworkError, match="elsewhere"),
    ):
        patient().get(f"{server.url}/a", max_bytes=10)


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (Fault(start=7), "another range"),
        (Fault(status=416), "shorter there"),
        (Fault(status=404), "answers with 404"),
        (Fault(status=503), "answers with 503"),
    ],
)
def test_a_flow_that_is_not_what_was_asked_for(fault: Fault, says: str) -> None:
    with FaultyServer({"/a": DATA}, lambda path, number: fault) as server:
        flow = patient().flow(f"{server.url}/a", start=100, length=len(DATA))
        with pytest.raises(NetworkError, match=says):
            flow.__enter__()


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/?token=secret", "http://user:secret@[::1/", "ftp://a/", "", "http://\0/"])
def test_an_address_that_leads_nowhere(url: str) -> None:
    with pytest.raises(NetworkError) as caught:
        patient().get(url, max_bytes=1)
    assert "secret" not in str(caught.value)
    assert str(caught.value).endswith(".")


# TLS


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with key.pem, old.pem (was valid in 2001) and new.pem."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "edge")])
    for label, year in (("old", 2001), ("new", datetime.datetime.now().year - 1)):
        begin = datetime.datetime(year, 1, 1)
        builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), begin)
        builder = builder.not_valid_after(begin.replace(year=year + (1 if label == "old" else 5)))
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        made = (
            builder.add_extension(names, False).add_extension(x509.BasicConstraints(True, 0), True).sign(key, hashes.SHA256())
        )
        (folder / f"{label}.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    data = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    (folder / "key.pem").write_bytes(data)
    return folder


class _Hello(BaseHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None: ...

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"hello")


def hello(folder: Path, certificate: str, clock: object, ca: str | None) -> bytes:
    """What a server with that certificate answers to a client that trusts `ca`, or the system's authorities."""
    server = HTTPServer(("127.0.0.1", 0), _Hello)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / f"{certificate}.pem", folder / "key.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        http = Http(clock, ca_file=folder / f"{ca}.pem" if ca else None, limits=Limits(attempts=1))  # type: ignore[arg-type]
        return http.get(f"https://127.0.0.1:{server.server_port}/", max_bytes=10).body
    finally:
        server.shutdown()
        server.server_close()


def test_tls_with_a_ca_file(tls: Path) -> None:
    assert hello(tls, "new", SystemClock(), "new") == b"hello"
    with pytest.raises(NetworkError, match="does not prove who it is"):
        hello(tls, "old", SystemClock(), "old")


def test_a_certificate_is_not_judged_by_a_clock_that_was_never_set(tls: Path) -> None:
    """The chain is still: a clock of 1970 lets no other authority in."""
    assert hello(tls, "old", SimulatedClock(100.0), "old") == b"hello"
    with pytest.raises(NetworkError, match="does not prove who it is"):
        hello(tls, "old", SimulatedClock(100.0), None)


def test_a_ca_file_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nothing")
    for name in ("ca.pem", "missing.pem"):
        with pytest.raises(UsageError, match="give a PEM file"):
            patient(ca_file=tmp_path / name).get("https://127.0.0.1:1/", max_bytes=1)
