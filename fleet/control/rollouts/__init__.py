"""Rollouts in the database: made and told to go on by people, carried forward by the engine."""

from .engine import Engine
from .records import Rollout
from .shelf import Artifacts
from .store import Preview, Rollouts

__all__ = ["Artifacts", "Engine", "Preview", "Rollout", "Rollouts"]
