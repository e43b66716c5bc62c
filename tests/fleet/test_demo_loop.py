"""What `make demo-loop` is made of: its world, its settings and its policy; the loop itself takes minutes."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).parents[2] / "docs"))
import demo_loop
from demo_loop_world import JUDGED, SEEN, TAUGHT, World, dirty
from edgewright.fleet.retrain.policy import Policy
from edgewright.fleet.retrain.settings import read_settings
from edgewright.optimizer.retrain.teach import parse_training


def test_a_person_knows_every_picture_that_was_shown_clean_or_not():
    world, draw = World(), np.random.default_rng(0)
    shown = []
    for world.is_dirty in (False, True):
        for world.is_late in (False, True):
            shown += [world.ask(draw) for _ in range(50)]
    assert all(world.label(image) == label for image, label in shown)
    assert {image.shape for image, _ in shown} == {(1, 1, 8, 8)}


def test_digits_of_later_pictures_are_nobodys_training_data():
    world, draw = World(), np.random.default_rng(0)
    assert (len(world.taught[1]), len(world.judged[1])) == (TAUGHT, JUDGED)
    early = {world.ask(draw)[0].tobytes() for _ in range(20 * SEEN)}
    world.is_late = True
    late = {world.ask(draw)[0].tobytes() for _ in range(20 * SEEN)}
    taught = {image.tobytes() for image in (*world.taught[0], *world.judged[0])}
    assert not late & early
    assert not (late | early) & taught


def test_dirt_changes_pictures_and_leaves_them_pictures():
    images, _ = World().judged
    seen = dirty(images, np.random.default_rng(0))
    assert seen.dtype == np.float32
    assert seen.min() >= 0
    assert seen.max() <= 16
    assert seen.std() < images.std() / 2


def test_settings_and_policy_are_read_as_they_are_meant(tmp_path):
    (tmp_path / "retrain.toml").write_text(demo_loop.SETTINGS)
    settings = read_settings(tmp_path / "retrain.toml")
    assert settings.source == tmp_path / "digits.onnx"
    assert settings.canary_plan(2).query == "canary = yes"
    assert settings.fleet_plan(2).stages[0].share == 1.0
    assert parse_training(settings.train)
    policy = Policy.parse(demo_loop.POLICY)
    assert (policy.canary_by, policy.fleet_by) == ("machine", "person")
