"""What a declaration asks for, checked without compiling: no model is read, no data are opened, no runtime is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.errors import UsageError
from ..device_profiles.loader import load
from ..device_profiles.profile import DeviceProfile
from .recipe import Recipe, read_recipe

_NAMING_FILES = ("model", "weights", "data", "accept", "search", "calib", "audit", "teacher", "student", "measurements")


@dataclass(frozen=True)
class Declaration:
    """A declaration that holds: the recipe, its profiles, and the files that it names and that are not there (yet)."""

    recipe: Recipe
    profiles: tuple[DeviceProfile, ...]
    missing: Mapping[str, Path]


def check_declaration(path: Path) -> Declaration:
    """Read `edgewright.toml` and check all that needs no file: keys, types, profiles, runtimes, gates, recipes, pipelines.

    A model that is trained, or data that are fetched, need not be there: `missing` names them by their key. Raises UsageError,
    ProfileError, GateError, PassError.
    """
    recipe = read_recipe(path, {})
    profiles = profiles_of(recipe)
    if recipe.recipes or recipe.pipelines or recipe.keras_steps:
        from .variants import variants_of  # loads the passes, which most declarations do not name

        variants_of(recipe)
    named: dict[str, Any] = {key: getattr(recipe, key) for key in _NAMING_FILES}
    missing = {key: place for key, place in named.items() if isinstance(place, Path) and not place.exists()}
    return Declaration(recipe, tuple(profiles), missing)


def profiles_of(recipe: Recipe) -> list[DeviceProfile]:
    """The profiles, each once, each with a runtime to try; raises ProfileError, UsageError."""
    profiles = [load(name) for name in recipe.profiles]
    for index, profile in enumerate(profiles):
        if profile.name in {other.name for other in profiles[:index]}:
            raise UsageError(f"the profile {profile.name!r} is given twice, and an artifact has one; name it once.")
        if not set(profile.runtimes) & set(recipe.runtimes):
            asked, known = " or ".join(recipe.runtimes), ", ".join(profile.runtimes)
            raise UsageError(f"the profile {profile.name!r} does not run {asked}; ask for one of {known}.")
    return profiles
