"""What a profile may say: the facts, their types and bounds, and the names that Linux gives to instruction sets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..core.errors import ProfileError, unknown

RUNTIMES = ("onnxruntime", "openvino", "litert")
KINDS = ("cpu", "microcontroller", "accelerator")

# Names as in the flags and Features lines of /proc/cpuinfo; only those that change which kernel a runtime takes.
ISA: Mapping[str, frozenset[str]] = {
    "x86_64": frozenset(
        {"sse4_1", "sse4_2", "avx", "avx2", "fma", "f16c", "gfni", "avx_vnni", "avx_vnni_int8"}
        | {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl", "avx512vbmi"}
        | {"avx512_vnni", "avx512_bf16", "avx512_fp16"}
        | {"amx_tile", "amx_int8", "amx_bf16", "amx_fp16"}
    ),
    "aarch64": frozenset(
        {"fp", "asimd", "asimdrdm", "asimdhp", "fphp", "asimddp", "i8mm", "bf16", "sve", "sve2", "svei8mm", "sme", "sme2"}
    ),
}
ARCHITECTURES = tuple(ISA)

# Lower and upper bound of each whole number, inclusive.
_NUMBERS = {
    "cores": (1, 1024),
    "threads": (1, 1024),
    "ram_bytes": (1 << 20, 1 << 44),
    "channel_align": (1, 256),
}
_AMOUNTS = {"price_per_hour": 1e6, "power_w": 1e5}
REQUIRED = ("kind", "arch", "isa", "cores", "threads", "ram_bytes", "runtimes")
OPTIONAL = ("channel_align", "cpu_model", "price_per_hour", "power_w")
_MAX_TEXT = 1000
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def text(value: Any, what: str, where: str) -> str:
    """A non-empty line of text; raises ProfileError."""
    if not isinstance(value, str) or not value.strip() or len(value) > _MAX_TEXT or not value.isprintable():
        raise ProfileError(f"{where}: {what} must be one line of text (up to {_MAX_TEXT} characters).")
    return value


def name(value: Any, where: str) -> str:
    """The profile's name, which becomes part of file names; raises ProfileError."""
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise ProfileError(f"{where}: name must be letters, digits, '.', '_' and '-' (up to 64), not {str(value)[:40]!r}.")
    return value


def number(name: str, value: Any, where: str) -> int:
    """A whole number within its bounds; raises ProfileError."""
    low, high = _NUMBERS[name]
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ProfileError(f"{where}: {name} must be a whole number from {low} to {high}, not {str(value)[:40]!r}.")
    return value


def amount(name: str, value: Any, where: str) -> float:
    """A number from 0 to its bound; raises ProfileError."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= _AMOUNTS[name]:
        raise ProfileError(f"{where}: {name} must be a number from 0 to {_AMOUNTS[name]:g}, not {str(value)[:40]!r}.")
    return float(value)


def one_of(name: str, value: Any, known: tuple[str, ...], where: str) -> str:
    """One of the known names; raises ProfileError offering the nearest."""
    if not isinstance(value, str) or value not in known:
        raise ProfileError(f"{where}: {unknown(name, str(value)[:80], known)}")
    return value


def several_of(name: str, value: Any, known: tuple[str, ...], where: str) -> tuple[str, ...]:
    """A list of known names without repetition, at least one; raises ProfileError."""
    if not isinstance(value, list) or not value:
        raise ProfileError(f"{where}: {name} must be a list with at least one of {', '.join(known)}.")
    names = tuple(one_of(name, item, known, where) for item in value)
    if len(set(names)) != len(names):
        raise ProfileError(f"{where}: {name} names one thing twice; remove the repetition.")
    return names
