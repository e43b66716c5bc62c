"""`.pt2` archives, read without running anything that they bring along.

`torch.export.load` unpickles (weights_only=False), evaluates size expressions with sympy, looks operators up by dotted name
and loads compiled libraries. So an archive is inspected first, and what is handed to torch is a copy with only the members
that were inspected. Without trust, none of these may be in it:

1. members other than graphs, weights, constants, sample inputs and bookkeeping (compiled code, legacy pickles);
2. weights or constants that are stored as pickles, or as objects;
3. sample inputs that torch's restricted unpickler refuses;
4. operators outside torch.ops.aten, torch.ops.prims, torch.ops.higher_order, torch.sym_*, _operator and math;
5. size expressions of more than symbols, numbers, arithmetic and a few known functions.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...core.errors import ModelError, TrustError
from ...runtimes.inputs import first_line
from .detect import members
from .quiet import quiet

_MEMBERS = re.compile(
    r"(models/[\w.-]+\.json|data/weights/(weight_\d+|[\w.-]+_weights_config\.json)|"
    r"data/constants/(tensor_\d+|[\w.-]+_constants_config\.json)|data/sample_inputs/[\w.-]+\.pt|"
    r"archive_format|archive_version|byteorder|version|\.data/\w+|\.format_version|\.storage_alignment|extra/.*)"
)
_OPERATOR = re.compile(
    r"(torch\.ops\.(aten|prims|higher_order)\.\w+(\.\w+)?|torch\.sym_\w+|torch\._sym_\w+|_operator\.\w+|math\.\w+)"
)
_WORD = re.compile(r"[A-Za-z_]\w*")
# How sympy writes a symbol out: Symbol('s77', positive=True, integer=True).
_WRITTEN = re.compile(r"Symbol\('([suif]\d+)'((, [a-z]+=(True|False))*)\)")
_SYMBOL = re.compile(
    r"([suif]\d+|Integer|Add|Mul|Pow|Max|Min|Mod|PythonMod|FloorDiv|CeilDiv|ModularIndexing|Eq|Ne|Ge|Gt|Le|Lt|And|Or|Not|True|False|oo|int_oo)"
)
_EXPRESSION = re.compile(r"[\w\s+\-*/%(),<>=]*")


def load(path: Path, trust: bool) -> Any:
    """The ExportedProgram of a .pt2 file; raises TrustError when it wants to run code, ModelError when it is broken."""
    import torch

    members(path)
    try:
        content = _content(path)
    except (zipfile.BadZipFile, OSError, ValueError, RuntimeError) as error:
        raise ModelError(f"{path} is a broken archive ({first_line(error)}); save it again with torch.export.save.") from error
    if not trust:
        try:
            reason = _danger(content)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ModelError(
                f"{path} is a broken archive ({first_line(error)}); save it again with torch.export.save."
            ) from error
        if reason is not None:
            raise TrustError(f"{path} wants to run code when it is loaded ({reason}); if you trust its maker, give --trust.")
    try:
        with quiet():
            return torch.export.load(_archive(content))
    except Exception as error:
        raise ModelError(f"torch cannot load {path}: {first_line(error)}; save it again with torch.export.save.") from error


def _content(path: Path) -> dict[str, bytes]:
    """Members by name below the archive's one folder."""
    with zipfile.ZipFile(path) as archive:
        found: dict[str, bytes] = {}
        for name in archive.namelist():
            inner = name.split("/", 1)[-1]
            if inner in found:
                raise ValueError(f"two members {inner!r}")
            found[inner] = archive.read(name)
        return found


def _archive(content: dict[str, bytes]) -> io.BytesIO:
    """A fresh archive of the inspected members, so that no other reading of the file's zip structure matters."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in content.items():
            archive.writestr(f"model/{name}", data)
    buffer.seek(0)
    return buffer


def _danger(content: dict[str, bytes]) -> str | None:
    """Why this archive is not plain data, or None."""
    import torch

    for name, data in content.items():
        if not _MEMBERS.fullmatch(name):
            return f"it holds {name!r}"
        if name.endswith("_config.json"):
            for entry in json.loads(data)["config"].values():
                if entry.get("use_pickle") or not re.fullmatch(r"(weight|tensor)_\d+", str(entry.get("path_name"))):
                    return f"{name!r} lists a pickled object"
        if name.startswith("data/sample_inputs/"):
            try:
                torch.load(io.BytesIO(data), weights_only=True)
            except Exception as error:
                return f"its sample inputs are more than tensors: {first_line(error)}"
        if name.startswith("models/"):
            for key, value in _strings(json.loads(data)):
                if key == "target" and not _OPERATOR.fullmatch(value):
                    return f"its graph calls {value!r}"
                if key == "expr_str" and not _is_plain(value):
                    return f"a size is {value!r}"
    return None


def _is_plain(expression: str) -> bool:
    plain = _WRITTEN.sub(r"\1", expression)
    return bool(_EXPRESSION.fullmatch(plain)) and all(_SYMBOL.fullmatch(word) for word in _WORD.findall(plain))


def _strings(value: Any) -> Iterator[tuple[str, str]]:
    """Every string in a JSON value with the key that it stands under."""
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, dict):
            for key, inner in item.items():
                if isinstance(inner, str):
                    yield key, inner
                else:
                    pending.append(inner)
        elif isinstance(item, list):
            pending.extend(item)
