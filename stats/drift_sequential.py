"""Drift told from chance by a test that may be looked at after every window, for as long as one likes.

H0 of a measure: in every window, given what came before, its requests are drawn from a distribution whose distance to the
reference's true distribution is at most `delta`. Distance: Kolmogorov-Smirnov over the bins' edges, or, for nominal bins
(classes), the largest change of one bin's share. Under H0 the wealth below ever reaches 1 / alpha with a chance of at most
alpha.

The method. A distance of at most delta says of every half-line A below an edge (of every class A): the share of requests in A
is at most P0(A) + delta, and the share outside at most 1 - P0(A) + delta. Each is a rate that counts of 0 and 1 are bet
against, at a few strengths: with n requests, S of them in A, a bet on the rate r in place of the allowed p multiplies its money
by (r / p)^S ((1 - r) / (1 - p))^(n - S), whose mean is at most 1 for every rate up to p. The wealth is the money of all bets;
so nothing has to be known of how the distribution will change.

1. The reference is a finite sample. P0(A) is replaced by its upper confidence bound (Clopper-Pearson, all half-lines and sides
   together at level `band`), so a finite reference is not rejected in the end. With edges at the reference's own quantiles the
   bounds hold too: P0 below its r-th value of n is Beta(r, n + 1 - r), which is where Clopper-Pearson's bounds come from.
2. Drift may begin late, when bets that were made at first have lost everything. So the money is brought in bit by bit: what is
   left after `time` t is 1 / ln(e + t), and each window brings in the difference. Time is counted in windows of `FULL`
   independent requests or more, smaller ones as their part. Source: the mixture over change points in Shin, Ramdas and Rinaldo,
   E-detectors, New England Journal of Statistics in Data Science 2 (2024) 229-260, weighted so that all false alarms together,
   not their rate, are bounded.
3. Requests come in clusters (one device sends the same picture 50 times). With a design effect `deff` every exponent is divided
   by it. That is exact for clusters of up to `deff` requests, however alike these are: a cluster's mean lies between 0 and 1
   and the bet is convex in it.

Sources: Ville's inequality and e-processes as in `sequential`; the likelihood ratio against a composite rate, Waudby-Smith and
Ramdas, JRSS B 86 (2024) 1-27.
"""

from __future__ import annotations

import base64
import hashlib
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import beta

from ..core.errors import DataError

Floats = NDArray[np.float64]

DELTA = 0.05
# Parts of what is not allowed yet, 1 - p, that bets put the rate above the allowed p.
STRENGTHS = (0.01, 0.04, 0.12, 0.4, 0.8)
# For tests by the ten thousand (one a device): few half-lines, two strengths.
FEW_SETS, FEW_STRENGTHS = 7, (0.1, 0.5)
SETS = 32
FULL = 100.0
# Money is kept in single precision and cut off here, which only ever makes the wealth smaller.
_MOST_MONEY, _MOST_GAIN = 1e30, 600.0
_ELEMENTS_AT_ONCE = 1 << 15


@dataclass(frozen=True)
class Level:
    """`band`: error level of a measure's reference bounds; `bound`: what the logarithm of a wealth must reach for an alarm."""

    band: float
    bound: float


def level(alpha: float, measures: int, *, scopes: int = 1, restarts: int = 0) -> Level:
    """How to split `alpha`, the chance of any false alarm ever, over `measures` in each of `scopes` (devices, cohorts).

    Half of alpha goes to the references, whose errors all scopes share, half to the wealths; both by Bonferroni. A test that is
    started anew after an alarm, for the `restarts`-th time, spends 1 / ((r + 1) (r + 2)) of alpha, 1/2 the first time (r = 0),
    so all of them together never spend more. Raises DataError for counts below 1 and an alpha that is no level.
    """
    if not 0 < alpha < 1:
        raise DataError(f"an error level of {alpha:g} does not lie between 0 and 1; give for example 0.05.")
    if measures < 1 or scopes < 1 or restarts < 0:
        raise DataError(
            "an error level is split over 1 or more measures and scopes, after 0 or more restarts; give their numbers."
        )
    share = alpha / 2 / measures / ((restarts + 1) * (restarts + 2))
    return Level(share, math.log(scopes / share))


@dataclass(frozen=True)
class DriftState:
    """What a test has seen: `money` [..., measures, bets] in single precision and `time` [..., measures]."""

    money: NDArray[np.float32]
    time: Floats


@dataclass(frozen=True)
class Leading:
    """The bet that has won most, of each measure [..., measures]: on the bins below `edge` (nominal: on bin `edge`).

    `is_more`: those bins have become more frequent than delta allows; else less frequent.
    """

    edge: NDArray[np.int64]
    is_more: NDArray[np.bool_]


@dataclass(frozen=True)
class DriftTest:
    """One test a measure against one reference; made by `drift_test`.

    `sets` [measures, sets] are the bins that each half-line ends before (nominal: the bins themselves), `nominal` [measures];
    `gain` and `loss` [measures, sides, sets, strengths] are what one request inside and one outside adds to the logarithm of a
    bet's money, side 0 betting on more inside, side 1 on more outside; `weight` of the same shape is each bet's part of the
    money, 0 where there is nothing to bet on. `bins` is the width of counts.
    """

    sets: NDArray[np.int64]
    nominal: NDArray[np.bool_]
    gain: Floats
    loss: Floats
    weight: Floats
    bins: int

    @property
    def measures(self) -> int:
        """How many measures are tested at once."""
        return len(self.sets)

    @property
    def digest(self) -> str:
        """Names the test: a state of another reference, delta or level does not fit it."""
        read = b"".join(
            np.ascontiguousarray(part).tobytes() for part in (self.sets, self.nominal, self.gain, self.loss, self.weight)
        )
        return hashlib.sha256(read).hexdigest()[:16]

    def start(self, shape: tuple[int, ...] = ()) -> DriftState:
        """The state before the first window; `shape` is that of leading axes, for example (devices,)."""
        money = np.zeros((*shape, self.measures, self.gain[0].size), dtype=np.float32)
        return DriftState(money, np.zeros((*shape, self.measures)))

    def update(self, state: DriftState, counts: ArrayLike, deff: ArrayLike = 1.0) -> DriftState:
        """The state after a window of `counts` [..., measures, bins]; `deff` [..., measures] is 1 for independent requests.

        A window without requests changes nothing. Raises DataError where counts do not fit and for a design effect below 1.
        """
        seen = np.asarray(counts, dtype=np.float64)
        effect = np.broadcast_to(np.asarray(deff, dtype=np.float64), state.time.shape)
        if seen.shape != (*state.time.shape, self.bins):
            raise DataError(
                f"counts of shape {seen.shape} do not fit a state of shape {state.time.shape} and {self.bins} bins."
            )
        if not np.all(effect >= 1):
            raise DataError("a design effect is 1 for independent requests and more for clusters; give 1 or more.")
        total = seen.sum(axis=-1) / effect
        time = state.time + np.minimum(total / FULL, 1.0)
        fresh = _reserve(state.time) - _reserve(time)
        money = np.empty((total.size // self.measures, *self.gain.shape), dtype=np.float32)
        rows = [part.reshape(len(money), *part.shape[state.time.ndim - 1 :]) for part in (seen, effect, total, fresh)]
        held = state.money.reshape(money.shape)
        step = max(1, _ELEMENTS_AT_ONCE // max(1, self.gain.size))
        for start in range(0, len(money), step):
            block = slice(start, start + step)
            money[block] = self._played(held[block], *(part[block] for part in rows))
        return DriftState(money.reshape(state.money.shape), time)

    def log_e(self, state: DriftState) -> Floats:
        """Logarithm of the wealth [..., measures]; compare it with `Level.bound`."""
        weight = self.weight.reshape(self.measures, -1)
        bet = np.einsum("...mb,mb->...m", state.money.astype(np.float64), weight)
        idle = 1.0 - weight.sum(axis=-1)  # of a measure without any bet
        return np.asarray(np.log(_reserve(state.time) + bet + idle * (1 - _reserve(state.time))))

    def leading(self, state: DriftState) -> Leading:
        """What the wealth comes from."""
        best = np.argmax(state.money * self.weight.reshape(self.measures, -1), axis=-1)
        side, column, _ = np.unravel_index(best, self.gain.shape[1:])
        rows = np.broadcast_to(np.arange(self.measures), best.shape)
        return Leading(self.sets[rows, column], np.asarray(side == 0))

    def to_json(self, state: DriftState) -> dict[str, Any]:
        """JSON object: shape, time and money in base64 (4 bytes a bet, little-endian), and the test's digest."""
        money = base64.b64encode(state.money.astype("<f4").tobytes()).decode("ascii")
        return {"test": self.digest, "shape": list(state.time.shape), "time": state.time.ravel().tolist(), "money": money}

    def from_json(self, value: Any) -> DriftState:
        """Inverse of `to_json`; raises DataError for what is no state, or one of another test."""
        try:
            if value["test"] != self.digest:
                raise DataError("the drift state belongs to another reference, delta or level; start the test anew.")
            shape = tuple(int(size) for size in value["shape"])
            time = np.asarray(value["time"], dtype=np.float64).reshape(shape)
            money = np.frombuffer(base64.b64decode(value["money"], validate=True), dtype="<f4").reshape(*shape, -1)
            fits = shape[-1:] == (self.measures,) and money.shape[-1] == self.gain[0].size
        except (KeyError, TypeError, ValueError) as error:
            raise DataError("the drift state cannot be read; start the test anew.") from error
        if not fits or not np.all(np.isfinite(money) & (money >= 0)) or not np.all(np.isfinite(time) & (time >= 0)):
            raise DataError("the drift state does not fit the test; start the test anew.")
        return DriftState(money.astype(np.float32), time)

    def _played(
        self, money: NDArray[np.float32], counts: Floats, deff: Floats, total: Floats, fresh: Floats
    ) -> NDArray[np.float32]:
        """Money [rows, measures, sides, sets, strengths] after the bets on counts [rows, measures, bins]."""
        inside = self._inside(counts) / deff[..., None]
        grown = inside[:, :, None, :, None] * (self.gain - self.loss)
        grown += total[..., None, None, None] * self.loss
        np.exp(np.minimum(grown, _MOST_GAIN, out=grown), out=grown)
        grown *= money + fresh[..., None, None, None]
        return np.minimum(grown, _MOST_MONEY, out=grown).astype(np.float32)

    def _inside(self, counts: Floats) -> Floats:
        """Requests [rows, measures, sets] inside each set."""
        rows = np.arange(self.measures)[:, None]
        found = np.cumsum(counts, axis=-1)[:, rows, np.maximum(self.sets - 1, 0)]
        if self.nominal.any():
            found[:, self.nominal] = counts[:, rows, self.sets][:, self.nominal]
        return np.asarray(found)


def drift_test(
    reference: ArrayLike,
    band: float,
    *,
    delta: float = DELTA,
    nominal: ArrayLike = False,
    sets: int = SETS,
    strengths: tuple[float, ...] = STRENGTHS,
    reference_deff: float = 1.0,
) -> DriftTest:
    """A test of each measure against its reference counts [measures, bins], whose own error is allowed for at level `band`.

    `delta` is the distance that is allowed; `nominal` [measures] says whose bins are classes. Measures of fewer bins are padded
    with zeros at the end (`padded`). At most `sets` half-lines are bet on, spread evenly over the reference (nominal: the most
    frequent bins). An empty reference is never tested: its wealth stays 1. Raises DataError for shapes and levels that cannot
    be.
    """
    counts = np.asarray(reference, dtype=np.float64)
    if counts.ndim != 2 or counts.shape[-1] < 2 or not np.all(np.isfinite(counts)) or np.any(counts < 0):
        raise DataError("a reference is counts [measures, bins], two bins or more, finite and not negative.")
    if not 0 < band < 1 or not 0 <= delta < 1 or reference_deff < 1 or sets < 1:
        raise DataError("a drift test needs 0 < band < 1, 0 <= delta < 1, a design effect and a number of sets of 1 or more.")
    if not strengths or min(strengths) <= 0 or max(strengths) >= 1:
        raise DataError("strengths of bets lie between 0 and 1; give for example 0.1 and 0.5.")
    is_nominal = np.broadcast_to(np.asarray(nominal, dtype=bool), len(counts))
    chosen, is_used = _chosen(counts, is_nominal, sets)
    total = counts.sum(axis=-1, keepdims=True)
    below = np.where(
        is_nominal[:, None],
        np.take_along_axis(counts, chosen, axis=-1),
        np.take_along_axis(np.cumsum(counts, axis=-1), np.maximum(chosen - 1, 0), axis=-1),
    )
    each = band / (2 * np.maximum(is_used.sum(axis=-1, keepdims=True), 1))
    inside, outside = below / reference_deff, (total - below) / reference_deff
    highest = np.where(outside > 0, beta.isf(each, inside + 1, np.maximum(outside, 1e-9)), 1.0)
    lowest = np.where(inside > 0, beta.ppf(each, np.maximum(inside, 1e-9), outside + 1), 0.0)
    allowed = np.stack([highest, 1 - lowest], axis=1)[..., None] + delta
    is_bet = (is_used & (total > 0))[:, None, :, None] & (allowed < 1)
    allowed = np.where(is_bet, allowed, 0.5)
    strength = np.asarray(strengths)
    up = np.log((allowed + strength * (1 - allowed)) / allowed)
    down = np.broadcast_to(np.log1p(-strength), up.shape)
    up, down = np.where(is_bet, up, 0.0), np.where(is_bet, down, 0.0)
    gain, loss = np.stack([up[:, 0], down[:, 1]], axis=1), np.stack([down[:, 0], up[:, 1]], axis=1)
    money = np.broadcast_to(is_bet, up.shape).astype(np.float64)
    weight = money / np.maximum(money.sum(axis=(1, 2, 3), keepdims=True), 1)
    return DriftTest(chosen, is_nominal.copy(), gain, loss, weight, counts.shape[-1])


def padded(rows: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Counts [..., bins] of several measures as one array [..., measures, widest], zeros behind the narrower ones."""
    widest = max(row.shape[-1] for row in rows)
    return np.stack([np.pad(row, [(0, 0)] * (row.ndim - 1) + [(0, widest - row.shape[-1])]) for row in rows], axis=-2)


def _chosen(counts: Floats, nominal: NDArray[np.bool_], sets: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Per measure the bins that half-lines end before, 1 to bins - 1, or the classes; and which of the places are used."""
    measures, bins = counts.shape
    width = min(sets, bins)
    chosen, is_used = np.zeros((measures, width), dtype=np.int64), np.zeros((measures, width), dtype=bool)
    for row in range(measures):
        if nominal[row]:
            found = np.sort(np.argsort(-counts[row], kind="stable")[:width])
        elif bins - 1 <= width:
            found = np.arange(1, bins)
        else:
            below = np.cumsum(counts[row])[:-1]
            wanted = below[-1] + counts[row, -1] if below.size else 0.0
            aims = wanted * np.arange(1, width + 1) / (width + 1)
            found = np.unique(1 + np.abs(below[:, None] - aims).argmin(axis=0))
        chosen[row, : found.size], is_used[row, : found.size] = found, True
    return chosen, is_used


def _reserve(time: Floats) -> Floats:
    """Share of the money that no window has brought in yet."""
    return np.asarray(1 / np.log(math.e + time))
