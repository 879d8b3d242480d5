"""The flow chart says every number of the flow, in boxes that do not overlap."""

import warnings
from itertools import combinations
from pathlib import Path

import matplotlib as mpl
import pytest

from medmm.cohort.flow import Count, Flow, Step
from medmm.evaluation.flowchart import MOST_REASONS, flowchart

PARTS = (Count("train", 30, 40), Count("validation", 10, 12), Count("test", 1, 1))


def flow(reasons: int, steps: int = 3) -> Flow:
    left = tuple(Count(f"E_{number}", number, 10 * number) for number in range(1, reasons + 1))
    return Flow(
        (*(Step(Count(f"step {n}", 100 - n, 1200 - n), left) for n in range(steps)), Step(Count("in use", 41, 53), ())), PARTS
    )


@pytest.mark.parametrize("one", [flow(0, 0), flow(1), flow(MOST_REASONS), flow(MOST_REASONS + 3), Flow(flow(2).steps, ())])
def test_the_chart_says_every_number(one: Flow, tmp_path: Path) -> None:
    figure = flowchart(one)
    words = {text.get_text() for text in figure.findobj(mpl.text.Text)}
    for step in one.steps:
        assert step.there.name in words
        assert f"{step.there.patients:,} patients, {step.there.studies:,} studies" in words
        for left in step.left[:MOST_REASONS]:
            patients = f"{left.patients} {'patient' if left.patients == 1 else 'patients'}"
            assert f"{left.name}: {patients}, {left.studies} studies" in words
    assert ("1 patient, 1 study" in words) == bool(one.parts)
    if len(one.steps[0].left) > MOST_REASONS:
        assert "3 rarer reasons: 240 studies" in words  # 70, 80 and 90
    boxes = [patch.get_window_extent() for patch in figure.axes[0].patches if isinstance(patch, mpl.patches.Rectangle)]
    assert len(boxes) == len(one.steps) + sum(bool(step.left) for step in one.steps) + len(one.parts)
    assert not any(first.overlaps(second) for first, second in combinations(boxes, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure.savefig(tmp_path / "flow.png")
