"""Reading profiles from TOML: `name`, `title`, and facts of the form `fact = { value = ..., source = "..." }`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, cast

from ..core.errors import ProfileError, unknown
from . import facts
from .profile import DeviceProfile, Kind

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_FOLDER = Path(__file__).parent
_MAX_BYTES = 64 << 10
_NO_RUNTIME = {
    "microcontroller": "no runtime for microcontrollers exists yet",
    "accelerator": "no runtime for accelerators exists yet",
}


def known() -> tuple[str, ...]:
    """Names of the profiles that come with the package, sorted."""
    return tuple(sorted(file.stem for file in _FOLDER.glob("*.toml")))


def load(name_or_path: str | Path) -> DeviceProfile:
    """Profile by its name, or of a TOML file; raises ProfileError.

    A path is whatever ends in ".toml" or has a folder in it; anything else is the name of a profile of the package.
    """
    given = str(name_or_path)
    if isinstance(name_or_path, Path) or given.endswith(".toml") or "/" in given:
        return validate(Path(given))
    if given not in known():
        raise ProfileError(unknown("profile", given[:80], known()))
    return validate(_FOLDER / f"{given}.toml")


def validate(path: str | Path) -> DeviceProfile:
    """Profile of a TOML file, every fact checked; raises ProfileError saying which fact is wrong."""
    file = Path(path)
    try:
        if not file.is_file():
            raise ProfileError(
                f"there is no profile file {_printable(file)}; give a .toml file or one of {', '.join(known())}."
            )
        size = file.stat().st_size
        if size > _MAX_BYTES:
            raise ProfileError(f"{file} has {size} bytes, more than {_MAX_BYTES}; it is not a device profile.")
        data = file.read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ProfileError(f"cannot read the profile {_printable(file)}: {reason}.") from error
    return parse(data, str(file))


def parse(data: bytes, where: str) -> DeviceProfile:
    """Profile of TOML bytes; `where` begins every message; raises ProfileError."""
    try:
        table = tomllib.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ProfileError(f"{where} is not TOML: {reason}; correct it there.") from error
    for key in table:
        if key not in ("name", "title", *facts.REQUIRED, *facts.OPTIONAL):
            raise ProfileError(f"{where}: {unknown('fact', key[:80], ('name', 'title', *facts.REQUIRED, *facts.OPTIONAL))}")
    for key in ("name", "title", *facts.REQUIRED):
        if key not in table:
            raise ProfileError(f"{where}: {key!r} is missing; add it.")
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for key in (*facts.REQUIRED, *facts.OPTIONAL):
        if key in table:
            values[key], sources[key] = _fact(key, table[key], where)
    return _profile(facts.name(table["name"], where), facts.text(table["title"], "title", where), values, sources, where)


def to_toml(profile: DeviceProfile) -> str:
    """TOML text of a profile that `parse` reads back to an equal one."""
    lines = [f"name = {_quoted(profile.name)}", f"title = {_quoted(profile.title)}", ""]
    values: dict[str, str] = {
        "kind": _quoted(profile.kind),
        "arch": _quoted(profile.arch),
        "cpu_model": _quoted(profile.cpu_model),
        "isa": f"[{', '.join(_quoted(item) for item in sorted(profile.isa))}]",
        "cores": str(profile.cores),
        "threads": str(profile.threads),
        "ram_bytes": str(profile.ram_bytes),
        "runtimes": f"[{', '.join(_quoted(item) for item in profile.runtimes)}]",
        "channel_align": str(profile.channel_align),
        "price_per_hour": repr(profile.price_per_hour),
        "power_w": repr(profile.power_w),
    }
    for key, value in values.items():
        if key in profile.sources:
            lines.append(f"{key} = {{ value = {value}, source = {_quoted(profile.sources[key])} }}")
    return "\n".join(lines) + "\n"


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _printable(file: Path) -> str:
    return str(file).encode("unicode_escape").decode()[:200]


def _fact(name: str, entry: Any, where: str) -> tuple[Any, str]:
    """Value and source of one fact."""
    if not isinstance(entry, dict) or set(entry) != {"value", "source"}:
        raise ProfileError(f'{where}: {name} must be written {name} = {{ value = ..., source = "..." }}, with its source.')
    return entry["value"], facts.text(entry["source"], f"the source of {name}", where)


def _profile(name: str, title: str, values: dict[str, Any], sources: dict[str, str], where: str) -> DeviceProfile:
    kind = facts.one_of("kind", values["kind"], facts.KINDS, where)
    if kind in _NO_RUNTIME:
        raise ProfileError(f"{where}: {name!r} is refused because {_NO_RUNTIME[kind]}; choose a profile of kind 'cpu'.")
    arch = facts.one_of("arch", values["arch"], facts.ARCHITECTURES, where)
    cores = facts.number("cores", values["cores"], where)
    threads = facts.number("threads", values["threads"], where)
    if threads > cores:
        raise ProfileError(f"{where}: threads is {threads}, more than the {cores} cores; lower it.")
    return DeviceProfile(
        name=name,
        title=title,
        kind=cast(Kind, kind),
        arch=arch,
        isa=frozenset(facts.several_of("instruction set", values["isa"], tuple(sorted(facts.ISA[arch])), where)),
        cores=cores,
        threads=threads,
        ram_bytes=facts.number("ram_bytes", values["ram_bytes"], where),
        runtimes=facts.several_of("runtime", values["runtimes"], facts.RUNTIMES, where),
        channel_align=facts.number("channel_align", values.get("channel_align", 8), where),
        sources=sources,
        cpu_model=facts.text(values["cpu_model"], "cpu_model", where) if "cpu_model" in values else "",
        **{name: facts.amount(name, values[name], where) for name in ("price_per_hour", "power_w") if name in values},
    )
