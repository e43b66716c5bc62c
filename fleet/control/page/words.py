"""How the page says things: numbers with units, times, states and results in plain words, and signs beside colours."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import NamedTuple

NONE = "–"
_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86400.0


class Pill(NamedTuple):
    """A state as it is shown: `kind` names its colour (good, bad, open, busy, quiet), `sign` says the same without."""

    text: str
    kind: str
    sign: str


def printable(text: str) -> str:
    """`text` on one line, without characters that show nothing or turn what stands beside them."""
    return "".join(char if char.isprintable() else " " if char.isspace() else "�" for char in text)


def sentence(text: str) -> str:
    """`text` as it stands at the begin of a line: with a capital."""
    return text[:1].upper() + text[1:]


def shorten(text: str, limit: int) -> str:
    """At most `limit` characters, cut with an ellipsis."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def count(value: int | None) -> str:
    """A whole number with thousands apart."""
    return NONE if value is None else f"{value:,}"


def plural(value: int, one: str, many: str = "") -> str:
    """ "1 device", "1,200 devices"."""
    return f"{value:,} {one if value == 1 else many or one + 's'}"


def number(value: float | None, digits: int = 3) -> str:
    """`digits` significant digits, no exponent between a millionth and a billion."""
    if value is None:
        return NONE
    if value == 0:
        return "0"
    if not 1e-6 <= abs(value) < 1e9:
        return f"{value:.{digits - 1}e}"
    if abs(value) >= 10 ** (digits - 1):
        return f"{value:,.0f}"
    text = f"{value:.{digits}g}"
    return f"{value:.6f}".rstrip("0") if "e" in text else text


def percent(share: float | None, digits: int = 1) -> str:
    """A share in per cent; one that is not nothing is never shown as nothing, nor one that is not all as all."""
    if share is None:
        return NONE
    step = 10.0**-digits
    scaled = 100 * share
    if 0 < scaled < step:
        return f"< {step:g} %"
    if 100 - step < scaled < 100:
        return f"> {100 - step:g} %"
    return f"{scaled:.{digits}f} %".replace(f".{'0' * digits} %", " %")


def size(value: float | None) -> str:
    """Bytes in decimal units."""
    if value is None:
        return NONE
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if abs(value) >= factor * 0.9995:
            return f"{number(value / factor)} {unit}"
    return f"{value:.0f} B"


def duration(seconds: float | None) -> str:
    """ "45 s", "3 min", "2 h", "5 days": the largest unit that fits."""
    if seconds is None:
        return NONE
    value = max(seconds, 0.0)
    for limit, factor, unit in ((_MINUTE, 1.0, "s"), (_HOUR, _MINUTE, "min"), (2 * _DAY, _HOUR, "h")):
        if round(value / factor) * factor < limit:
            return f"{round(value / factor)} {unit}"
    return f"{round(value / _DAY):,} days"


def ago(then: float | None, now: float) -> str:
    """ "3 min ago"; "never" for None; "in 3 min" for what is ahead."""
    if then is None:
        return "never"
    if then > now + 1:
        return f"in {duration(then - now)}"
    return "just now" if now - then < 2 else f"{duration(now - then)} ago"


def stamp(at: float | None) -> str:
    """ "2026-03-01 14:02:09 UTC" of seconds since 1970; of what no calendar holds the bare number."""
    if at is None:
        return NONE
    try:
        return datetime.fromtimestamp(at, timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, ValueError, OSError):
        return f"{at:g} s"


def minute(at: float) -> str:
    """ "2026-03-01 14:02 UTC" of seconds since 1970."""
    told = stamp(at)
    return f"{told[:16]} UTC" if told.endswith(" UTC") else told


def digest(sha256: str | None) -> str:
    """The first twelve figures of a digest, enough to tell artifacts apart."""
    return NONE if sha256 is None else sha256[:12]


def version(number_: int | None, sha256: str) -> str:
    """ "version 3", or for what the repository never offered the begin of its digest."""
    return f"unknown {digest(sha256)[:8]}" if number_ is None else f"version {number_}"


_ROLLOUT = {
    "created": Pill("not started", "quiet", "○"),
    "waiting-for-approval": Pill("waits for approval", "open", "?"),
    "running": Pill("running", "busy", "▶"),
    "paused": Pill("paused", "open", "❚❚"),
    "completed": Pill("completed", "good", "✓"),
    "aborted": Pill("aborted", "bad", "✕"),
}
_OUTCOME = {
    "good": Pill("good", "good", "✓"),
    "bad": Pill("bad", "bad", "✕"),
    "silent": Pill("silent", "open", "?"),
}
_RESULT = {
    "SUCCESSFUL": Pill("updated", "good", "✓"),
    "FAILED_NO_STATE_CHANGE": Pill("failed, nothing changed", "bad", "✕"),
    "FAILED_ROLLBACK_NOT_REQUESTED": Pill("failed, not rolled back", "bad", "✕"),
    "FAILED_ROLLBACK_COMPLETE": Pill("failed, rolled back", "bad", "✕"),
    "FAILED_UNABLE_TO_ROLLBACK": Pill("failed, could not roll back", "bad", "✕"),
    "REJECTED": Pill("refused by the device", "bad", "✕"),
}
_STATE = {
    "Idle": Pill("idle", "quiet", "·"),
    "Download": Pill("downloading", "busy", "↓"),
    "ArtifactInstall": Pill("installing", "busy", "▶"),
    "ArtifactReboot": Pill("starting", "busy", "▶"),
    "ArtifactVerifyReboot": Pill("checking", "busy", "▶"),
    "ArtifactCommit": Pill("on trial", "busy", "▶"),
    "ArtifactCommit_Leave": Pill("switching over", "busy", "▶"),
    "ArtifactRollback": Pill("going back", "bad", "↩"),
    "ArtifactRollbackReboot": Pill("going back", "bad", "↩"),
    "ArtifactVerifyRollbackReboot": Pill("going back", "bad", "↩"),
    "ArtifactFailure": Pill("failed", "bad", "✕"),
    "Cleanup": Pill("tidying up", "busy", "▶"),
}
_GATE = {
    "passed": Pill("passed", "good", "✓"),
    "failed": Pill("failed", "bad", "✕"),
    "undecided": Pill("undecided", "open", "?"),
}
_SEVERITY = {
    "minor": Pill("minor", "quiet", "!"),
    "moderate": Pill("moderate", "open", "!!"),
    "severe": Pill("severe", "bad", "!!!"),
}
_ALERT = {
    "open": Pill("open", "bad", "●"),
    "acknowledged": Pill("acknowledged", "busy", "◐"),
    "closed": Pill("closed", "good", "✓"),
}


def rollout_pill(state: str) -> Pill:
    """A rollout's state."""
    return _ROLLOUT.get(state, Pill(printable(state), "quiet", "·"))


def outcome_pill(outcome: str | None, is_assigned: bool = True) -> Pill:
    """What came of a member; None where nothing has yet."""
    if outcome is None:
        return Pill("no answer yet", "busy", "…") if is_assigned else Pill("not yet assigned", "quiet", "○")
    return _OUTCOME.get(outcome, Pill(printable(outcome), "quiet", "·"))


def update_pill(state: str, result: str | None) -> Pill:
    """What a device said of an update: how it ended, or where it is."""
    if result is not None and state in ("Idle", "Cleanup"):
        return _RESULT.get(result, Pill(printable(result), "quiet", "·"))
    return _STATE.get(state, Pill(printable(state), "quiet", "·"))


def gate_pill(status: str) -> Pill:
    """A gate's verdict at compile time."""
    return _GATE.get(status, Pill(printable(status), "quiet", "·"))


def severity_pill(severity: str | None) -> Pill:
    """How grave a drift is; None is none."""
    if severity is None:
        return Pill("no drift found", "good", "✓")
    return _SEVERITY.get(severity, Pill(printable(severity), "quiet", "·"))


def alert_pill(state: str) -> Pill:
    """Whether an alert waits for a person."""
    return _ALERT.get(state, Pill(printable(state), "quiet", "·"))
