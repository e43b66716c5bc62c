"""A client of the Open Inference Protocol v2 in binary, for a unix socket or a port of this machine."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from ...core.errors import NetworkError, ProtocolError
from . import tensors
from .connection import JSON_BYTES
from .refusal import Refusal

MAX_ANSWER_BYTES = 256 << 20


def write_request(inputs: Mapping[str, NDArray[Any]]) -> tuple[bytes, int]:
    """Body of a binary request for all outputs in binary, and how many bytes of it are JSON."""
    listed, pieces = [], []
    for name, array in inputs.items():
        data = tensors.to_bytes(array)
        datatype = tensors.datatype_of(array.dtype.name)
        shape = list(array.shape)
        listed.append({"name": name, "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": len(data)}})
        pieces.append(data)
    text = json.dumps({"inputs": listed, "parameters": {"binary_data_output": True}}, separators=(",", ":")).encode()
    return b"".join((text, *pieces)), len(text)


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
    except (ValueError, KeyError, TypeError, AttributeError, Refusal) as error:
        raise ProtocolError(f"the server's answer is not one of the Open Inference Protocol v2: {error}.") from error
    return outputs


class Client:
    """One kept connection to a server. Not thread-safe."""

    def __init__(self, where: Path | int, model: str, timeout_s: float = 60.0) -> None:
        """`where` is the path of a unix socket, or a port of this machine."""
        self._where = where
        self._target = f"/v2/models/{quote(model, safe='')}/infer"
        self._connection: http.client.HTTPConnection = (
            http.client.HTTPConnection("127.0.0.1", where, timeout_s) if isinstance(where, int) else _Unix(where, timeout_s)
        )

    def infer(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """All outputs; raises NetworkError when no answer comes, ProtocolError when the server refuses, with its sentence."""
        body, json_bytes = write_request({name: np.asarray(array) for name, array in inputs.items()})
        _, fields, data = self.ask("POST", self._target, body, {JSON_BYTES: str(json_bytes)})
        told = fields.get(JSON_BYTES)
        return read_answer(data, None if told is None else int(told))

    def ask(
        self, method: str, target: str, body: bytes | None = None, fields: Mapping[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, header fields in lower case, and body of any request; raises NetworkError."""
        try:
            self._connection.request(method, target, body, dict(fields or {}))
            response = self._connection.getresponse()
            data = response.read(MAX_ANSWER_BYTES)
            return response.status, {name.lower(): value for name, value in response.getheaders()}, data
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise NetworkError(f"no answer from {self._where}: {error or type(error).__name__}; is it being served?") from error

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def __enter__(self) -> Client:
        """Close at the end of the block."""
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        """Close."""
        self.close()


class _Unix(http.client.HTTPConnection):
    """A connection over a unix socket."""

    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))
