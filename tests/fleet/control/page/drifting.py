"""A fleet whose world changes: devices of one batch see other inputs from some hour on, and one device's sensor sticks.

Windows come hour by hour and are judged by the server's engine as they come; nothing of drift is put into the database by hand.
"""

from __future__ import annotations

import numpy as np
from control.page.fleet import Fleet
from edgewright.core.manifest import HistogramBins
from edgewright.fleet.control.attributes import set_attributes
from edgewright.fleet.control.drift.engine import DriftEngine
from edgewright.fleet.control.drift.store import Drift
from edgewright.fleet.control.tables import OUTCOMES
from edgewright.fleet.protocol.bins import encode_bins

HOUR = 3600.0
LEAD_S = 60.0  # that hours begin behind those of the clock: so what came in one is judged at its end
COLUMNS, CLASSES = 4, 4
CONFIDENCE = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
REFERENCE = 20_000
BATCH, STUCK = "batch", 1  # the attribute of those that see other inputs; the column that sticks on one device


def bins(seed=0, has_labels=True, tensor="x"):
    """What the artifact says of itself: columns of a normal input, how often one is missing, confidence, and predictions."""
    generator = np.random.default_rng(seed)
    found = []
    for column in range(COLUMNS):
        values = generator.normal(size=REFERENCE)
        edges = tuple(np.quantile(values, np.linspace(0, 1, 17)[1:-1]))
        found.append(HistogramBins(tensor, "input", edges, _counts(values, edges), f"column {column}"))
    missing = (0.0, 1e-9, 1.0)
    found.append(HistogramBins(tensor, "input", missing, (0, REFERENCE - 40, 40, 0), "missing 2"))
    confidence, right = _answers(generator, REFERENCE, 0.0)
    correct = _counts(confidence[right], CONFIDENCE) if has_labels else None
    found.append(HistogramBins("y", "confidence", CONFIDENCE, _counts(confidence, CONFIDENCE), correct=correct))
    edges = tuple(float(at) for at in range(CLASSES + 1))
    found.append(HistogramBins("y", "prediction", edges, (0, *[REFERENCE // CLASSES] * CLASSES, 0)))
    return found


class Drifting:
    """Devices of a fleet that count; `pass_hours` lets time go on. `move(seconds)` moves the fleet's clock."""

    def __init__(self, fleet: Fleet, move, devices=20, of_batch=4, version=4, model="digits", seed=0, **told):
        self.fleet, self.move, self.model = fleet, move, model
        self.engine, self.drift = DriftEngine(fleet.database), Drift(fleet.database)
        self.bins = bins(seed, **told)
        self.sha256 = fleet.artifact(version, model=model, bins=encode_bins(self.bins))
        self.random = np.random.default_rng(seed)
        self.names = [fleet.device(seen_s=20.0) for _ in range(devices)]
        self.batch = self.names[1 : 1 + of_batch]
        for name in self.names:
            told_by_people = {BATCH: "7" if name in self.batch else "6", "site": "lab"}
            set_attributes(fleet.store, name, told_by_people, "Ada")
            fleet.tell(name, self.sha256, model=model)

        move(LEAD_S)

    def pass_hours(self, hours, shift=0.0, stuck=(), samples=300, right_less=0.0, labels=0, missing=0.0, quiet=()):
        """`hours` go by: the batch's column 3 is off by `shift`, devices `stuck` send one value in column 1.

        `labels` answers of each hour are labelled, of which `right_less` fewer are right than confidence says.
        """
        for _ in range(hours):
            for name in self.names:
                if name not in quiet:
                    self._count(name, samples, shift if name in self.batch else 0.0, name in stuck, missing)
            if labels:
                self._label(labels, shift, right_less)
            self.move(HOUR)
            self.engine.tick()

    def _count(self, name, samples, shift, is_stuck, missing):
        tensors = []
        for column in range(COLUMNS):
            values = self.random.normal(shift if column == 3 else 0.0, 1 + 0.1 * shift * (column == 3), samples)
            if is_stuck and column == STUCK:
                values[:] = 1.37
            tensors.append(_counts(values, self.bins[column].edges))
        gone = int(self.random.binomial(samples, 0.002 + missing))
        tensors.append((0, samples - gone, gone, 0))
        confidence, _ = _answers(self.random, samples, shift)
        tensors.append(_counts(confidence, CONFIDENCE))
        weights = np.full(CLASSES, 1.0) + np.eye(CLASSES)[2] * shift
        classes = self.random.multinomial(samples, weights / weights.sum())
        tensors.append((0, *map(int, classes), 0))
        self.fleet.count(name, self.sha256, samples, errors=0, model=self.model, every_s=int(HOUR), tensors=tuple(tensors))

    def _label(self, labels, shift, right_less):
        share = len(self.batch) / len(self.names)
        _, right = _answers(self.random, 20_000, shift)
        _, right_elsewhere = _answers(self.random, 20_000, 0.0)
        accuracy = share * right.mean() + (1 - share) * right_elsewhere.mean() - right_less
        good = int(self.random.binomial(labels, accuracy))
        start = int(self.fleet.clock.now() // HOUR * HOUR)
        row = {"model": self.model, "sha256": self.sha256, "device": self.names[0], "start": start, "predicted": 1}
        rows = [{**row, "label": 1, "count": good}, {**row, "label": 2, "count": labels - good}]
        with self.fleet.database.transaction() as connection:
            connection.execute(OUTCOMES.insert(), [item for item in rows if item["count"]])


def _answers(generator, count, shift):
    """Confidence of answers and whether each was right; the further inputs lie, the less confident and right."""
    confidence = 1 - 0.6 * generator.beta(0.6, 4.0 / (1 + 1.2 * abs(shift)), count)
    return confidence, generator.random(count) < confidence


def _counts(values, edges):
    found, _ = np.histogram(values, [-np.inf, *edges, np.inf])
    return tuple(int(count) for count in found)
