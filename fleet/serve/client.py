"""A client of the Open Inference Protocol v2 in binary, for a unix socket or a port of this machine."""

from __future__ import annotations

import contextlib
import json
import select
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from ...core.errors import NetworkError, ProtocolError
from . import tensors
from .connection import JSON_BYTES, send_pieces
from .refusal import Refusal

MAX_ANSWER_BYTES = 256 << 20
_END_OF_HEAD = b"\r\n\r\n"
_PIECE = 64 << 10


def write_request(inputs: Mapping[str, NDArray[Any]]) -> list[bytes | memoryview]:
    """Body of a binary request for all outputs in binary, in pieces; the first is all of its JSON."""
    listed: list[dict[str, Any]] = []
    pieces: list[bytes | memoryview] = []
    for name, array in inputs.items():
        data = tensors.to_bytes(array)
        datatype = tensors.datatype_in(array)
        shape = list(array.shape)
        listed.append({"name": name, "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": len(data)}})
        pieces.append(data)
    text = json.dumps({"inputs": listed, "parameters": {"binary_data_output": True}}, separators=(",", ":")).encode()
    return [text, *pieces]


def read_answer(body: bytes, json_bytes: int | None) -> dict[str, NDArray[Any]]:
    """Outputs of a response, binary or JSON; raises ProtocolError."""
    try:
        response = json.loads(body if json_bytes is None else body[:json_bytes])
        if "error" in response:
            raise ProtocolError(str(response["error"]))
        offset = json_bytes or 0
        outputs: dict[str, NDArray[Any]] = {}
        for item in response["outputs"]:
            where = f"output {item['name']!r}"
            datatype = tensors.check_datatype(item["datatype"], where)
            shape = tensors.check_shape(item["shape"], where)
            size = item.get("parameters", {}).get("binary_data_size")
            if size is None:
                outputs[item["name"]] = tensors.from_json(item["data"], datatype, shape, where)
            else:
                outputs[item["name"]] = tensors.from_bytes(memoryview(body)[offset : offset + size], datatype, shape, where)
                offset += size
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, Refusal) as error:
        raise ProtocolError(f"the server's answer is not one of the Open Inference Protocol v2: {error}.") from error
    return outputs


class Client:
    """A connection to a server, kept open; it is opened anew when the server has closed it. Not thread-safe."""

    def __init__(self, where: Path | int, model: str, timeout_s: float = 60.0) -> None:
        """`where` is the path of a unix socket, or a port of this machine."""
        self._where, self._timeout_s = where, timeout_s
        self._target = f"/v2/models/{quote(model, safe='')}/infer"
        self._sock: socket.socket | None = None

    def infer(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """All outputs; raises NetworkError when no answer comes, ProtocolError when the server refuses, with its sentence."""
        pieces = write_request({name: np.asarray(array) for name, array in inputs.items()})
        _, fields, data = self.ask("POST", self._target, pieces, {JSON_BYTES: str(len(pieces[0]))})
        told = fields.get(JSON_BYTES)
        return read_answer(data, None if told is None else int(told))

    def ask(
        self,
        method: str,
        target: str,
        body: Sequence[bytes | memoryview] | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, header fields in lower case, and body of any request with a body in pieces; raises NetworkError."""
        lines = [f"{method} {target} HTTP/1.1", "Host: localhost"]
        if body is not None:
            lines.append(f"Content-Length: {sum(map(len, body))}")
        lines += [f"{name}: {value}" for name, value in (fields or {}).items()]
        head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
        try:
            if self._sock is None or _is_closed(self._sock):
                self.close()
                self._sock = self._connect()
            # Who refuses at once is gone before all was sent; his answer is there all the same.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                send_pieces(self._sock, (head, *(body or ())))
            return self._answer(self._sock)
        except (OSError, ValueError, EOFError) as error:
            self.close()
            raise NetworkError(f"no answer from {self._where}: {error or type(error).__name__}; is it being served?") from error

    def close(self) -> None:
        """Close the connection."""
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    def __enter__(self) -> Client:
        """Close at the end of the block."""
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        """Close."""
        self.close()

    def _connect(self) -> socket.socket:
        if isinstance(self._where, int):
            return socket.create_connection(("127.0.0.1", self._where), self._timeout_s)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(self._timeout_s)
        sock.connect(str(self._where))
        return sock

    def _answer(self, sock: socket.socket) -> tuple[int, dict[str, str], bytes]:
        """Read one response; raises EOFError when the connection ends within it, ValueError when it is none of HTTP/1.1."""
        data = b""
        while (end := data.find(_END_OF_HEAD)) < 0:
            piece = sock.recv(_PIECE)
            if not piece or len(data) > _PIECE:
                raise EOFError("the connection ended")
            data += piece
        first, *lines = data[:end].decode("latin-1").split("\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(fields["content-length"]) if "content-length" in fields else -1
        if not first.startswith("HTTP/1.1 ") or not 0 <= length <= MAX_ANSWER_BYTES:
            raise ValueError("it does not speak this protocol")
        body = bytearray(data[end + len(_END_OF_HEAD) :])
        while len(body) < length:
            piece = sock.recv(max(_PIECE, length - len(body)))
            if not piece:
                raise EOFError("the connection ended")
            body += piece
        if fields.get("connection", "").lower() == "close":
            self.close()
        return int(first[9:12]), fields, bytes(body)


def _is_closed(sock: socket.socket) -> bool:
    """Whether a kept connection has been closed by the server: between two requests there is nothing else to read."""
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))
