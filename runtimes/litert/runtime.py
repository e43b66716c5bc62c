"""The LiteRT runtime behind the contract."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...core.executor import Content, Executor, read
from ...device_profiles.profile import DeviceProfile
from ...ir.model import Model
from ..contract import Lowered, OperatorSupport, Scheme
from . import run
from .scheme import scheme


class LiteRT:
    """LiteRT (TensorFlow Lite) with XNNPACK; what only the compiler needs is imported when it is asked for."""

    name = "litert"

    def version(self) -> str:
        """Version of the installed interpreter."""
        return run.version()

    def scheme(self, profile: DeviceProfile) -> Scheme:
        """How LiteRT wants a model quantized."""
        return scheme(profile)

    def supports(self, model: Model, profile: DeviceProfile) -> list[OperatorSupport]:
        """What becomes of each node."""
        from .supports import supports

        return supports(model)

    def lower(self, model: Model, profile: DeviceProfile) -> Lowered:
        """The .tflite file; raises LoweringError."""
        from .lower import lower

        return lower(model)

    def load(self, files: Mapping[str, Content], entry: str, threads: int) -> Executor:
        """Load a lowered file; raises RuntimeFailure."""
        return run.load(files, entry, threads)

    def profile_operators(
        self, files: Mapping[str, Content], entry: str, threads: int, inputs: Mapping[str, Any], runs: int
    ) -> list[tuple[str, str, float]]:
        """Median microseconds by operator, each timed in a file of its own (`inputs` are not needed for that)."""
        from .profiling import profile_operators

        return profile_operators(read(files[entry]), threads, runs)


RUNTIME = LiteRT()
