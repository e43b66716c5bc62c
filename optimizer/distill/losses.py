"""What it costs a student to answer differently from its teacher."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def soft_cross_entropy(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Hinton's distillation (1503.02531, section 2): T^2 KL(teacher || student) at temperature T, mean over rows.

    Scores [rows, classes] before the softmax. The factor keeps gradients of one size whatever T is.
    """
    wanted = functional.log_softmax(teacher / temperature, dim=1)
    made = functional.log_softmax(student / temperature, dim=1)
    return functional.kl_div(made, wanted, reduction="batchmean", log_target=True) * temperature**2


def decoupled(student: Tensor, teacher: Tensor, target: Tensor, temperature: float, alpha: float, beta: float) -> Tensor:
    """Decoupled distillation (2203.08679, section 3.2): `alpha` TCKD + `beta` NCKD, each T^2 times its KL, mean over rows.

    Scores [rows, classes], `target` [rows] the class that is right. TCKD compares how sure both are of that class, NCKD how
    they spread the rest over the others; plain distillation weighs the latter by the teacher's doubt, so a sure teacher tells
    little.
    """
    is_target = functional.one_hot(target, student.shape[1]).bool()
    made, wanted = (functional.log_softmax(scores / temperature, dim=1) for scores in (student, teacher))
    two_made, two_wanted = (_target_and_rest(logs, is_target) for logs in (made, wanted))
    sure = functional.kl_div(two_made, two_wanted, reduction="batchmean", log_target=True)
    # Scores of the target far below the others: its share of the softmax is nothing.
    rest_made, rest_wanted = (
        functional.log_softmax((scores / temperature).masked_fill(is_target, -1e4), dim=1) for scores in (student, teacher)
    )
    rest = functional.kl_div(rest_made, rest_wanted, reduction="none", log_target=True).masked_fill(is_target, 0.0)
    return (alpha * sure + beta * rest.sum(1).mean()) * temperature**2


def _target_and_rest(logs: Tensor, is_target: Tensor) -> Tensor:
    """Logarithms [rows, 2] of the target's share and of all others'."""
    own = logs.masked_fill(~is_target, 0.0).sum(1)
    others = logs.masked_fill(is_target, -torch.inf).logsumexp(1)
    return torch.stack([own, others], dim=1)


def soft_binary(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """The same for answers of one sigmoid each: T^2 KL of two outcomes, mean over all; scores [n, columns]."""
    wanted = torch.sigmoid(teacher / temperature)
    made = functional.binary_cross_entropy_with_logits(student / temperature, wanted)
    least = functional.binary_cross_entropy_with_logits(teacher / temperature, wanted)
    return (made - least) * temperature**2


def angle(student: Tensor, teacher: Tensor) -> Tensor:
    """One minus the cosine of each sample's vectors [n, ...], [n]."""
    return 1 - functional.cosine_similarity(student.flatten(1), teacher.flatten(1), dim=1)


def maps(student: Tensor, teacher: Tensor) -> Tensor:
    """Squared distance of two maps [n, ...], each scaled to length 1 (1612.03928, section 3.1), mean over samples."""
    made, wanted = (functional.normalize(values.flatten(1), dim=1) for values in (student, teacher))
    return (made - wanted).square().sum(1).mean()
