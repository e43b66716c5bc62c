"""The error tree: one sentence each, saying what is wrong, where, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class EdgewrightWarning(UserWarning):
    """Something the user should know that does not stop the work."""


class EdgewrightError(Exception):
    """Base of every error that this project raises on purpose.

    The message is one sentence: what is wrong, where, and what to do about it. The command line prints it with `code` and
    exits with `exit_code`; it never shows a traceback unless `--debug` is given.
    """

    code = "E-EDGEWRIGHT"
    exit_code = 1


class UsageError(EdgewrightError):
    """The request itself is wrong: an unknown name, an option that does not fit."""

    code = "E-USAGE"


class ModelError(EdgewrightError):
    """A model file is broken, hostile or of a kind that cannot be compiled."""

    code = "E-MODEL"


class ParityError(ModelError):
    """The ingested model answers differently from its source framework."""

    code = "E-PARITY"


class DataError(EdgewrightError):
    """Data are missing, of another shape or type, or not finite."""

    code = "E-DATA"


class TrustError(EdgewrightError):
    """A file wants to run code, and the user has not said that it may."""

    code = "E-TRUST"


class ProfileError(EdgewrightError):
    """A device profile is unknown, malformed, or asks for something that has no runtime."""

    code = "E-PROFILE"


class PassError(EdgewrightError):
    """A pass or a pipeline cannot do what it was asked, or broke the model."""

    code = "E-PASS"


class LoweringError(EdgewrightError):
    """A runtime cannot express the model; the message names the operator."""

    code = "E-LOWER"


class RuntimeFailure(EdgewrightError):
    """A runtime failed to load or to run a file."""

    code = "E-RUNTIME"


class GateError(EdgewrightError):
    """A gate cannot be read or cannot be evaluated."""

    code = "E-GATE"


class ArtifactError(EdgewrightError):
    """An artifact is damaged, hostile, or of an unknown version."""

    code = "E-ARTIFACT"


class StoreError(EdgewrightError):
    """The step store or an output folder cannot be written."""

    code = "E-STORE"


class NetworkError(EdgewrightError):
    """A server cannot be reached, answers with an error, or sends more or slower than is allowed."""

    code = "E-NETWORK"


class UnfinishedError(EdgewrightError):
    """Work that took its share of time and goes on when it is asked for again; nothing went wrong."""

    code = "E-UNFINISHED"


class VerificationError(EdgewrightError):
    """Metadata or a download is not what its signers said, is expired, or is older than what was seen before."""

    code = "E-VERIFY"


class ProtocolError(EdgewrightError):
    """A message between device and server is malformed, too large, or not allowed."""

    code = "E-PROTOCOL"


class AgentError(EdgewrightError):
    """A device's data folder is unusable, or the device is not enrolled."""

    code = "E-AGENT"


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """Sentence for an unknown name that offers the nearest known one."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(names)}."
    return f"unknown {kind} {name!r}; {hint}"
