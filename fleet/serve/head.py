"""The head of an HTTP/1.1 request, read strictly, and the head of a response. Pure: bytes in, record or Refusal out.

Source: RFC 9112, sections 2 to 6. Refused are the forms on which two readers disagree: bare line feeds, folded lines, white
space before a colon, a Content-Length given twice or not in digits, Transfer-Encoding. The standard library's http.server
takes most of them, since it reads a head with its parser for mail.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

from .refusal import Refusal

MAX_HEAD_BYTES = 16 << 10
MAX_FIELDS = 64

_REQUEST_LINE = re.compile(rb"([A-Z]{1,16}) ([\x21-\x7e]{1,4096}) HTTP/1\.([01])")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}):[ \t]*([\x20-\x7e\x80-\xff\t]*)")
_DIGITS = re.compile(r"[0-9]{1,12}")
_REASONS: Mapping[int, bytes] = {status.value: status.phrase.encode() for status in HTTPStatus}


@dataclass(frozen=True)
class Head:
    """Method, target, names of fields in lower case with their values, and what follows from them for the connection."""

    method: str
    target: str
    fields: Mapping[str, str]
    length: int
    keeps: bool
    expects: bool

    def count(self, name: str) -> int | None:
        """A field that is a number of bytes, None where it is missing; raises Refusal."""
        return _count(self.fields, name)


def parse(data: bytes) -> Head:
    """The head in `data`, which ends before the empty line; raises Refusal."""
    lines = data.split(b"\r\n")
    first = _REQUEST_LINE.fullmatch(lines[0])
    if first is None:
        raise Refusal(400, "the request line is not one of HTTP/1.1.")
    if first[1] not in (b"GET", b"POST"):
        raise Refusal(405, "only GET and POST are served.")
    if len(lines) > MAX_FIELDS:
        raise Refusal(431, f"the request has more than {MAX_FIELDS} header fields.")
    fields: dict[str, str] = {}
    for line in lines[1:]:
        match = _FIELD.fullmatch(line)
        if match is None:
            raise Refusal(400, "a header field is malformed.")
        name = match[1].decode("ascii").lower()
        if name in fields:
            if name in _SINGLE:
                raise Refusal(400, f"the header field {name} is given twice.")
            continue
        fields[name] = match[2].decode("latin-1").strip(" \t")
    if "transfer-encoding" in fields:
        raise Refusal(411, "send a Content-Length; a Transfer-Encoding is not taken.")
    if fields.get("content-encoding", "identity").lower() != "identity":
        raise Refusal(415, "send the body as it is; a Content-Encoding is not taken.")
    length = _count(fields, "content-length")
    method = first[1].decode("ascii")
    if length is None and method == "POST":
        raise Refusal(411, "a POST needs a Content-Length.")
    connection = fields.get("connection", "").lower()
    keeps = "close" not in connection and (first[3] == b"1" or "keep-alive" in connection)
    expects = fields.get("expect", "").lower() == "100-continue"
    return Head(method, first[2].decode("ascii"), fields, length or 0, keeps, expects)


def response(status: int, kind: str, length: int, json_bytes: int | None = None, keeps: bool = True) -> bytes:
    """Head of a response with a body of `length` bytes, `json_bytes` of them JSON where others follow."""
    parts = [
        b"HTTP/1.1 %d %b\r\nContent-Type: %b\r\nContent-Length: %d\r\n"
        % (status, _REASONS[status], kind.encode("ascii"), length)
    ]
    if json_bytes is not None:
        parts.append(b"Inference-Header-Content-Length: %d\r\n" % json_bytes)
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        parts.append(b"Retry-After: 1\r\n")
    parts.append(b"\r\n" if keeps else b"Connection: close\r\n\r\n")
    return b"".join(parts)


_SINGLE = frozenset({"content-length", "host", "inference-header-content-length", "transfer-encoding", "content-encoding"})


def _count(fields: Mapping[str, str], name: str) -> int | None:
    value = fields.get(name)
    if value is None:
        return None
    if not _DIGITS.fullmatch(value):
        raise Refusal(400, f"the header field {name} is not a number of bytes.")
    return int(value)
