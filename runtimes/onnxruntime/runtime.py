"""ONNX Runtime as a runtime of the compiler."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...core.executor import Content
from ...device_profiles.profile import DeviceProfile
from ...ir.model import Model
from ..contract import Lowered, OperatorSupport, Scheme
from . import lower, run, scheme, supports


class OnnxRuntime:
    """The CPU execution provider; `runtimes.contract.Runtime`."""

    name = "onnxruntime"

    def version(self) -> str:
        """Version of the installed package."""
        import onnxruntime

        return str(onnxruntime.__version__)

    def scheme(self, profile: DeviceProfile) -> Scheme:
        """See `scheme.scheme`."""
        return scheme.scheme(profile)

    def supports(self, model: Model, profile: DeviceProfile) -> list[OperatorSupport]:
        """See `supports.supports`."""
        del profile  # fusion is the same on every CPU with these options
        return supports.supports(model)

    def lower(self, model: Model, profile: DeviceProfile) -> Lowered:
        """See `lower.lower`."""
        return lower.lower(model, profile)

    def load(self, files: Mapping[str, Content], entry: str, threads: int) -> run.OnnxRuntimeExecutor:
        """See `run.load`."""
        return run.load(files, entry, threads)

    def profile_operators(
        self, files: Mapping[str, Content], entry: str, threads: int, inputs: Mapping[str, Any], runs: int
    ) -> list[tuple[str, str, float]]:
        """See `run.profile_operators`."""
        return run.profile_operators(files, entry, threads, inputs, runs)


RUNTIME = OnnxRuntime()
