"""The paths of the Open Inference Protocol v2, answered by one loaded model. No sockets: a head and a body in, a response out.

    GET  v2, v2/health/live, v2/health/ready, v2/models/{m}[/versions/{v}][/ready], metrics
    POST v2/models/{m}[/versions/{v}]/infer, v2/repository/index

Loading and unloading (Triton's repository extension) are refused: the agent decides what is served, from what was signed.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote

from ...core.errors import EdgewrightError, RuntimeFailure, unknown
from ...core.version import VERSION
from ..protocol.window import ErrorKind
from . import metrics, oip
from .connection import JSON_BYTES, Response, refused
from .head import Head
from .model import LoadedModel, Runner
from .observer import Observer
from .refusal import Mismatch, Refusal
from .tally import Durations, Tally

_SMALL_BODY = 64 << 10


class Service:
    """One model behind the protocol. Any number of threads."""

    def __init__(
        self, model: LoadedModel, tally: Tally, runner: Runner | None = None, observers: Sequence[Observer] = ()
    ) -> None:
        """`runner` stands in front of the model (batches), `observers` are told of every request when it was answered."""
        self._model, self._tally = model, tally
        self._runner: Runner = runner or model
        self._observers = tuple(observers)
        self._limits = oip.limits(model.inputs)
        self._model_paths = {("v2", "models", model.name), ("v2", "models", model.name, "versions", model.version)}

    def bound(self, head: Head) -> int:
        """The most bytes of body of a request."""
        return self._limits.body if head.target.partition("?")[0].endswith("/infer") else _SMALL_BODY

    def handle(self, head: Head, body: memoryview) -> Response:
        """The answer to a request; whatever goes wrong is an answer too."""
        try:
            parts = tuple(map(unquote, head.target.partition("?")[0].strip("/").split("/")))
            if parts[-1] == "infer" and parts[:-1] in self._model_paths:
                if head.method != "POST":
                    raise Refusal(405, "inference is a POST.")
                return self._infer(head, body)
            return self._told(head.method, parts)
        except Refusal as error:
            return refused(error.status, str(error))

    def _infer(self, head: Head, body: memoryview) -> Response:
        self._tally.begin()
        try:
            response = self._answer(head, body)
        except Refusal as error:
            self._fail("mismatch" if isinstance(error, Mismatch) else "request")
            raise
        except RuntimeFailure as error:
            self._fail("runtime")
            return refused(500, str(error))
        except (MemoryError, EdgewrightError) as error:
            self._fail("internal")
            return refused(500, str(error) or "the memory is used up; send fewer samples at once.")
        except Exception as error:  # a mistake of ours costs one answer, not the worker
            self._fail("internal")
            return refused(500, f"a mistake of the server ({type(error).__name__}: {error}); report it.")
        return response

    def _answer(self, head: Head, body: memoryview) -> Response:
        start = time.perf_counter()
        ask = oip.parse(body, head.count(JSON_BYTES), self._model.inputs, self._model.outputs, self._limits.json)
        samples = max((array.shape[0] for array in ask.inputs.values() if array.ndim), default=1)
        parsed = time.perf_counter()
        ran = self._runner.run(ask.inputs, samples)
        done = time.perf_counter()
        answer = oip.form(self._model.name, self._model.version, ask, ran.outputs)
        kind = "application/json" if answer.json_bytes is None else "application/octet-stream"
        seconds = Durations(ran.queue_s, parsed - start, ran.infer_s, time.perf_counter() - done)
        self._tally.succeed(seconds, samples, ran.executions)

        def after() -> None:
            for observer in self._observers:
                observer.offer(ask.inputs, ran.outputs, seconds.request)

        return Response(200, answer.pieces, kind, answer.json_bytes, after)

    def _fail(self, kind: ErrorKind) -> None:
        self._tally.fail(kind)
        for observer in self._observers:
            observer.fail(kind)

    def _told(self, method: str, parts: tuple[str, ...]) -> Response:
        """Everything but inference."""
        model = self._model
        if parts[:2] == ("v2", "repository"):
            return self._repository(method, parts[2:])
        is_ready = parts[-1] == "ready" and len(parts) > 1
        where = parts[:-1] if is_ready and parts != ("v2", "health", "ready") else parts
        if where[:2] == ("v2", "models") and where not in self._model_paths:
            if len(where) > 2 and where[2] != model.name:
                raise Refusal(404, unknown("model", where[2][:80], [model.name]))
            if len(where) == 5 and where[3] == "versions":
                raise Refusal(404, unknown("version", where[4][:80], [model.version]))
        found: Any
        if parts == ("metrics",):
            found = metrics.text(model, self._tally.read()).encode()
        elif parts == ("v2",):
            found = {"name": "edgewright", "version": VERSION, "extensions": ["binary_tensor_data"]}
        elif parts == ("v2", "health", "live"):
            found = {"live": True}
        elif parts == ("v2", "health", "ready"):
            # The specification shows `live` in its example of this answer, and `ready` in its text.
            found = {"ready": True, "live": True}
        elif where in self._model_paths:
            found = {"name": model.name, "ready": True} if is_ready else self._metadata()
        else:
            raise Refusal(404, f"there is no {'/'.join(parts)[:120]!r}; see the Open Inference Protocol v2.")
        if method != "GET":
            raise Refusal(405, "this path is read with GET.")
        if isinstance(found, bytes):
            return Response(200, (found,), metrics.KIND)
        return Response(200, (json.dumps(found).encode(),))

    def _metadata(self) -> dict[str, Any]:
        model = self._model
        return {
            "name": model.name,
            "versions": [model.version],
            "platform": oip.PLATFORMS.get(model.manifest.runtime.name, model.manifest.runtime.name),
            "inputs": [oip.describe(spec) for spec in model.inputs],
            "outputs": [oip.describe(spec) for spec in model.outputs],
        }

    def _repository(self, method: str, parts: tuple[str, ...]) -> Response:
        if method != "POST":
            raise Refusal(405, "the repository is asked with POST.")
        if parts == ("index",):
            found = [{"name": self._model.name, "version": self._model.version, "state": "READY", "reason": ""}]
            return Response(200, (json.dumps(found).encode(),))
        if len(parts) == 3 and parts[0] == "models" and parts[2] in ("load", "unload"):
            raise Refusal(403, "models are placed by the agent, from what was signed; assign another one there.")
        raise Refusal(404, "there is no such path of the repository; ask for v2/repository/index.")
