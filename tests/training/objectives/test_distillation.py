"""The loss of a student, by hand."""

from __future__ import annotations

from math import exp, log

import pytest
import torch

from mapring.settings.distillation import Distillation
from mapring.settings.objective import Objective
from training.objectives import ClassificationObjective
from training.objectives.distillation import distilled_loss
from training.rows import NO_LABEL

STUDENT = torch.tensor([[1.0, -1.0], [0.5, 0.0], [-2.0, 1.0]])
TEACHER = torch.tensor([[2.0, 0.0], [0.0, 3.0], [0.0, 0.0]])
LABELS = torch.tensor([0, NO_LABEL, 1])


def softmax(row: list[float], temperature: float) -> list[float]:
    weights = [exp(value / temperature) for value in row]
    return [weight / sum(weights) for weight in weights]


def divergence(row: int, temperature: float) -> float:
    taught, learned = softmax(TEACHER[row].tolist(), temperature), softmax(STUDENT[row].tolist(), temperature)
    return sum(p * log(p / q) for p, q in zip(taught, learned, strict=True))


@pytest.mark.parametrize("class_weights", [None, (0.5, 2.0)])
def test_the_loss_of_a_student(class_weights: tuple[float, ...] | None) -> None:
    objective = ClassificationObjective(Objective(label_smoothing=0.2), class_weights)
    settings = Distillation(teacher="somewhere", weight=0.25, temperature=3.0)
    loss, weight = distilled_loss(objective, settings, STUDENT, TEACHER, LABELS)
    own = class_weights or (1.0, 1.0)
    hard = 0.0
    for row, label in ((0, 0), (2, 1)):
        logs = [log(share) for share in softmax(STUDENT[row].tolist(), 1.0)]
        spread = -sum(own[number] * logs[number] for number in (0, 1)) / 2
        hard += 0.8 * -own[label] * logs[label] + 0.2 * spread
    soft = 9 * (own[0] * divergence(0, 3.0) + divergence(1, 3.0) + own[1] * divergence(2, 3.0))
    assert float(loss) == pytest.approx(0.75 * hard + 0.25 * soft, rel=1e-5)
    assert weight == own[0] + 1 + own[1]


def test_a_student_that_answers_as_its_teacher_has_nothing_to_learn_of_it() -> None:
    student = TEACHER.clone().requires_grad_()
    settings = Distillation(teacher="somewhere", weight=1.0)
    loss, _ = distilled_loss(ClassificationObjective(), settings, student, TEACHER, LABELS)
    loss.backward()  # type: ignore[no-untyped-call]
    assert float(loss.detach()) == pytest.approx(0, abs=1e-6)
    assert student.grad is not None and student.grad.abs().max() < 1e-6
