"""PyTorch from files: weights into a module that a named factory makes, and whole modules that the user trusts."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...core.errors import ModelError, TrustError, UsageError, unknown
from ...runtimes.inputs import first_line
from .detect import detect
from .quiet import quiet


def make_module(text: str) -> Any:
    """The `nn.Module` that `package.module:factory` makes when it is called; raises UsageError or ModelError."""
    import torch

    name, _, attribute = text.partition(":")
    folder = str(Path.cwd())
    sys.path.insert(0, folder)
    try:
        found = importlib.import_module(name)
    except (Exception, SystemExit) as error:
        raise UsageError(f"cannot import {name!r} for the model {text!r}: {first_line(error)}; check the name.") from error
    finally:
        sys.path.remove(folder)
    factory = getattr(found, attribute, None)
    if not callable(factory):
        known = [key for key, value in vars(found).items() if callable(value) and not key.startswith("_")]
        raise UsageError(f"the module {name!r}: {unknown('factory', attribute, known)}")
    try:
        with quiet():
            module = factory()
    except (Exception, SystemExit) as error:
        raise ModelError(f"{text} fails without arguments: {first_line(error)}; name a function that takes none.") from error
    if not isinstance(module, torch.nn.Module):
        raise ModelError(f"{text} makes a {type(module).__name__}, not a torch.nn.Module; name a function that makes one.")
    return module


def load_weights(module: Any, path: Path, trust: bool) -> None:
    """Put the state dict of a .pt, .pth or .safetensors file into `module`; raises TrustError or ModelError."""
    state = _state(path, trust)
    wanted = set(module.state_dict())
    try:
        module.load_state_dict(state)
    except Exception as error:
        missing, extra = sorted(wanted - set(state)), sorted(set(state) - wanted)
        detail = (
            f"{missing[0]!r} is missing" if missing else f"{extra[0]!r} is not in the module" if extra else first_line(error)
        )
        raise ModelError(f"{path} does not fit {type(module).__name__}: {detail}; give the weights of this module.") from error


def _state(path: Path, trust: bool) -> Mapping[str, Any]:
    import torch

    kind = detect(path)
    if kind == "safetensors":
        from safetensors.torch import load_file

        try:
            return dict(load_file(path))
        except Exception as error:
            raise ModelError(f"{path} is a broken safetensors file ({first_line(error)}); save it again.") from error
    if kind not in ("torch", "pickle"):
        raise ModelError(f"{path} holds no PyTorch weights; give a .pt, .pth or .safetensors file with a state dict.")
    state = _load_pickle(path, trust, "weights that are more than tensors")
    if isinstance(state, torch.nn.Module):
        state = state.state_dict()
    if isinstance(state, Mapping) and isinstance(state.get("state_dict"), Mapping):
        state = state["state_dict"]
    if not isinstance(state, Mapping) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise ModelError(f"{path} holds a {type(state).__name__}, not a state dict; save model.state_dict().")
    return state


def _load_pickle(path: Path, trust: bool, what: str) -> Any:
    """Torch's restricted unpickler; the unrestricted one only with trust."""
    import torch

    try:
        with quiet():
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        if not trust:
            raise TrustError(
                f"{path} holds {what}: loading it would run code; if you trust its maker, give --trust, "
                "else save model.state_dict() and name the factory as package.module:factory."
            ) from error
    try:
        with quiet():
            return torch.load(path, map_location="cpu", weights_only=False)
    except Exception as error:
        raise ModelError(f"torch cannot load {path}: {first_line(error)}; save it again.") from error


def whole_module(path: Path, trust: bool) -> Any:
    """The `nn.Module` that a trusted pickle holds; raises TrustError without trust, ModelError when it holds none."""
    import torch

    found = _load_pickle(path, trust, "a pickled object")
    if not isinstance(found, torch.nn.Module):
        raise ModelError(
            f"{path} holds a {type(found).__name__} and not how the model computes; name the factory as package.module:factory "
            "and give this file as its weights."
        )
    return found
