"""Steps of a damage: the fall is paired on the studies that were not refused, and few patients give no number."""

import numpy as np

from medmm.evaluation.intervals import sample_and_resamples, tails
from medmm.evaluation.metrics import auroc
from medmm.evaluation.robustness import Curve, Step, curve_table, judge
from medmm.evaluation.robustness_plot import robustness_plot
from medmm.types import Array, Scores

PATIENT = np.repeat(np.arange(40), 2)
TARGET = (PATIENT % 2).astype(float)[:, np.newaxis]
WEIGHTS = sample_and_resamples(PATIENT, 200, 0)


def said(noise: float, seed: int = 0) -> Array:
    rng = np.random.default_rng(seed)
    logits = 2 * TARGET - 1 + noise * rng.normal(size=TARGET.shape)
    return np.asarray(1 / (1 + np.exp(-logits)))


def clean() -> Scores:
    return Scores(("ill",), said(0.5), TARGET, PATIENT)


def test_the_fall_is_that_of_the_same_studies_in_the_same_resamples() -> None:
    kept = np.arange(80) % 4 != 0
    step = judge(clean(), said(3.0, 1), kept, 0.3, "binary", WEIGHTS)
    before, after = (auroc(p[kept, 0], TARGET[kept, 0], WEIGHTS[:, kept]) for p in (said(0.5), said(3.0, 1)))
    assert step.drop.value == (before - after)[0] > 0.1
    np.testing.assert_allclose((step.drop.low, step.drop.high), np.quantile((before - after)[1:], tails(0.95, 20)))
    assert (step.headline.studies, step.headline.patients) == (60, 40)
    assert step.refused.value == 0.25
    assert (step.refused.studies, step.severity) == (80, 0.3)


def test_nothing_is_lost_where_nothing_changes() -> None:
    step = judge(clean(), said(0.5), np.ones(80, bool), 0, "binary", WEIGHTS)
    assert (step.drop.value, step.drop.low, step.drop.high) == (0, 0, 0)
    assert step.refused.value == 0


def test_few_patients_or_none_give_no_number_but_the_share_refused() -> None:
    for kept in (PATIENT < 18, PATIENT < 0):  # nine of either outcome, none
        step = judge(clean(), np.full((80, 1), np.nan), kept, 1, "binary", WEIGHTS)
        assert np.isnan([step.headline.value, step.drop.value, step.drop.low]).all()
        assert step.refused.value == 1 - kept.mean()
        assert step.headline.studies == kept.sum()
    assert np.isfinite(judge(clean(), said(1), PATIENT < 20, 1, "binary", WEIGHTS).drop.value)


def steps(*noises: float) -> tuple[Step, ...]:
    return tuple(
        judge(clean(), said(noise, 1 if noise != 0.5 else 0), PATIENT > 0, noise, "binary", WEIGHTS) for noise in noises
    )


def test_the_worst_step_is_the_largest_fall_that_is_defined() -> None:
    undefined = judge(clean(), said(9.0), PATIENT < 4, 9, "binary", WEIGHTS)
    curve = Curve("labs", "noise", "noise", "deviations", (*steps(0.5, 1, 5, 2), undefined))
    assert curve.worst is not None
    assert curve.worst.severity == 5
    assert Curve("labs", "noise", "noise", "deviations", (*steps(0.5), undefined)).worst is None


def test_the_table_has_a_row_a_step_and_the_figure_a_panel_a_damage() -> None:
    curves = [Curve(name, "noise", "noise", "deviations", steps(0.5, 1, 5)) for name in ("chest", "labs")]
    table = curve_table(curves)
    assert len(table) == 6
    assert table["drop"][2] == curves[0].steps[2].drop.value
    assert table["refused_high"][1] == curves[0].steps[1].refused.high
    panels = [axes for axes in robustness_plot(curves).axes if axes.get_visible()]
    assert [axes.get_ylabel().split("\n")[0] for axes in panels] == ["chest", "labs"]
    assert [label.get_text() for label in panels[0].get_xticklabels()] == ["0.5\n2% ref.", "1\n2% ref.", "5\n2% ref."]
