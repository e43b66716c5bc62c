"""An answer is sent whole, or its client had the time that it may have."""

from __future__ import annotations

import socket
import threading

import pytest
from edgewright.fleet.serve.connection import send_pieces

MANY = [bytes([n]) * (1 << 20) for n in range(8)]


@pytest.mark.parametrize("seconds", [None, 60.0])
@pytest.mark.parametrize("pieces", [[b"one", b"", b"two"], MANY])
def test_all_pieces_come_in_their_order(seconds: float | None, pieces: list[bytes]) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        sender = threading.Thread(target=lambda: (send_pieces(ours, pieces, seconds), ours.shutdown(socket.SHUT_WR)))
        sender.start()
        assert b"".join(iter(lambda: theirs.recv(1 << 20), b"")) == b"".join(pieces)
        sender.join()


def test_a_client_that_takes_its_answer_drop_by_drop_renews_no_time() -> None:
    ours, theirs = socket.socketpair()
    is_over = threading.Event()

    def drip() -> None:
        while not is_over.wait(0.01):
            theirs.recv(1 << 14)

    with ours, theirs:
        reader = threading.Thread(target=drip)
        reader.start()
        try:
            with pytest.raises(TimeoutError, match="not taken in time"):
                send_pieces(ours, MANY, 0.2)
        finally:
            is_over.set()
            reader.join()
