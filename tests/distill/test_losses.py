"""The losses against their definitions."""

from __future__ import annotations

import numpy as np
import torch
from edgewright.optimizer.distill.losses import angle, decoupled, maps, soft_binary, soft_cross_entropy
from hypothesis import given
from hypothesis import strategies as st


def scores(seed: int, rows: int = 6, classes: int = 5, size: float = 3.0) -> torch.Tensor:
    return size * torch.randn(rows, classes, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@given(seed=st.integers(0, 1000), temperature=st.floats(0.5, 8))
def test_kd_is_the_divergence_of_softened_answers(seed: int, temperature: float) -> None:
    student, teacher = scores(seed), scores(seed + 1)
    p, q = (np.exp(x.numpy() / temperature) for x in (teacher, student))
    p, q = p / p.sum(1, keepdims=True), q / q.sum(1, keepdims=True)
    expected = temperature**2 * (p * np.log(p / q)).sum(1).mean()
    assert np.isclose(float(soft_cross_entropy(student, teacher, temperature)), expected)
    assert abs(float(soft_cross_entropy(teacher, teacher, temperature))) < 1e-9


@given(seed=st.integers(0, 1000), temperature=st.floats(0.5, 8))
def test_decoupled_parts_add_up_to_kd(seed: int, temperature: float) -> None:
    """Equation 5 of 2203.08679: KD = TCKD + (1 - p of the target) NCKD, for each row."""
    student, teacher = scores(seed, rows=1), scores(seed + 1, rows=1)
    target = torch.tensor([seed % 5])
    p = torch.softmax(teacher / temperature, 1)[0, target].item()
    whole = float(soft_cross_entropy(student, teacher, temperature))
    assert np.isclose(float(decoupled(student, teacher, target, temperature, 1.0, 1 - p)), whole, atol=1e-6)
    assert abs(float(decoupled(teacher, teacher, target, temperature, 1.0, 8.0))) < 1e-6


def test_decoupled_gradients_are_finite_where_the_teacher_is_sure() -> None:
    student = scores(0, size=30).float().requires_grad_()
    loss = decoupled(student, scores(1, size=100).float(), torch.arange(5).repeat(2)[:6], 4.0, 1.0, 8.0)
    loss.backward()
    assert torch.isfinite(loss)
    assert student.grad is not None
    assert torch.isfinite(student.grad).all()


@given(seed=st.integers(0, 1000))
def test_two_outcomes_are_a_softmax_of_two(seed: int) -> None:
    student, teacher = scores(seed, classes=1), scores(seed + 1, classes=1)
    pair = [torch.cat([torch.zeros_like(x), x], 1) for x in (student, teacher)]
    assert np.isclose(float(soft_binary(student, teacher, 2.0)), float(soft_cross_entropy(*pair, 2.0)), atol=1e-9)


def test_angles_and_maps_do_not_see_length() -> None:
    student, teacher = scores(0), scores(1)
    assert torch.allclose(angle(student * 5, teacher), angle(student, teacher))
    assert torch.allclose(maps(student * 5, teacher), maps(student, teacher))
    assert torch.allclose(maps(student, teacher), 2 * angle(student, teacher).mean())
    assert float(maps(student, student)) < 1e-12
