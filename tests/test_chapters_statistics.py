"""The chapters of discrimination and of subgroups, from scores alone."""

from types import SimpleNamespace
from typing import Any, get_args

import numpy as np
import pytest
from rich.console import Console
from scipy.special import expit
from scipy.stats import t as student

from medmm.errors import DataError
from medmm.evaluation.chapter import Chapter
from medmm.evaluation.delong import auroc_estimates, aurocs, placements
from medmm.evaluation.evaluate import evaluate
from medmm.evaluation.forest import gaps_plot, groups_plot, plain
from medmm.evaluation.intervals import Estimate
from medmm.types import Array, Scores, Task
from medmm.workflows.chapters.discrimination import discrimination
from medmm.workflows.chapters.subgroups import groups
from medmm.workflows.screen import Screen

SCREEN = Screen(Console(quiet=True))
HOSTILE = "<script>alert(1)</script>\n$x$"
TASKS: tuple[Task, ...] = get_args(Task)


def answers(task: Task, latent: Array, noisy: Array, rng: np.random.Generator) -> Scores:
    patient = rng.integers(max(1, len(latent) // 2), size=len(latent))
    if task == "regression":
        return Scores(("value",), noisy[:, None], latent[:, None], patient)
    if task == "survival":
        time, end = 100 * rng.exponential(np.exp(-latent)), rng.uniform(20, 300, len(latent))
        risk = expit(noisy)
        target = np.stack([np.minimum(time, end), time <= end], axis=1).astype(float)
        return Scores(("by_50", "by_120"), np.stack([risk / 2, risk], axis=1), target, patient, {}, (50.0, 120.0))
    if task == "multiclass":
        first = expit(noisy)
        target = np.eye(3)[np.where(latent > 0, rng.integers(2, size=len(latent)), 2)]
        return Scores(("a", "b", "c"), np.stack([first * 0.6, first * 0.4, 1 - first], axis=1), target, patient)
    names = ("sick",) if task == "binary" else ("mild", "severe")
    cuts = np.arange(len(names))
    return Scores(names, expit(noisy[:, None] - cuts), (latent[:, None] > cuts).astype(float), patient)


def subject(task: Task, studies: int = 300, sites: tuple[str, ...] = ("North", "", HOSTILE)) -> Any:
    rng = np.random.default_rng(3)
    latent = rng.normal(size=studies)
    scores = answers(task, latent, latent + rng.normal(size=studies), rng)
    if sites:
        chance = np.array([0.6, 0.37, 0.03][: len(sites)])
        scores.groups["site"] = rng.choice(sites, studies, p=chance / chance.sum())  # type: ignore[index]
    thresholds = (0.5,) * len(scores.classes) if task in ("binary", "multilabel", "ordinal") else ()
    config = SimpleNamespace(target=SimpleNamespace(task=task, unit="%"), evaluation=SimpleNamespace(resamples=100))
    return SimpleNamespace(test=SimpleNamespace(scores=scores), config=config, package=SimpleNamespace(thresholds=thresholds))


def words(chapter: Chapter) -> str:
    return "\n".join(chapter.says)


@pytest.mark.parametrize("task", TASKS)
def test_discrimination_of_every_task_has_numbers_figures_and_a_note_on_size(task: Task) -> None:
    about = subject(task)
    scores = about.test.scores
    chapter = discrimination(about, SCREEN)
    evaluation = evaluate(scores, task, about.package.thresholds, 100)
    metric = evaluation.metric if len(scores.classes) == 1 else f"{evaluation.metric}_{evaluation.results[-1].class_name}"
    if task == "survival":
        metric = "c_index_by_120"
    assert chapter.measures[metric] == evaluation.headline
    assert f"on 300 test studies of {evaluation.headline.patients} patients" in words(chapter)
    assert "reliability" not in chapter.figures
    assert chapter.figures
    assert "twice as many would give" in words(chapter)
    assert "±0.05 takes: " in words(chapter)
    assert len(chapter.tables["results"]) == len(evaluation.results)
    assert len(chapter.tables["sample_size"]) >= 1


def test_an_auroc_stands_beside_the_limits_of_its_standard_error_and_auprc_beside_prevalence() -> None:
    about = subject("multilabel")
    scores = about.test.scores
    chapter = discrimination(about, SCREEN)
    placed = np.stack([placements(scores.predicted[:, c], scores.target[:, c]) for c in range(2)], axis=-1)[None]
    both = aurocs(placed, scores.target, scores.patient)
    found, value = chapter.measures["auroc_delong_macro"], both.value[0]
    rarer = min(len(set(scores.patient[one == outcome].tolist())) for one in scores.target.T for outcome in (0, 1))
    half = student.ppf(0.975, rarer - 1) * np.sqrt(both.covariance[0, 0]) / (value * (1 - value))
    limits = 1 / (1 + np.exp(-np.log(value / (1 - value)) + np.array([half, -half])))
    assert (found.value, found.low, found.high) == pytest.approx((value, *limits))
    table = chapter.tables["auroc"].set_index("class")
    assert table.loc["mild", "prevalence"] == pytest.approx(scores.target[:, 0].mean())
    assert table.loc["mild", "delong_low"] == pytest.approx(auroc_estimates(scores)["mild"].low)
    assert f"[{found.low:.3f}, {found.high:.3f}] after DeLong and Obuchowski" in words(chapter)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("studies", [1, 2, 12])
def test_a_tiny_cohort_is_said_to_be_one(task: Task, studies: int) -> None:
    about = subject(task, studies)
    said = words(discrimination(about, SCREEN))
    assert "not enough data: " in said or task == "regression"
    compared = groups(about, SCREEN)
    assert not [name for name in compared.measures if name.endswith("_gap")] or task == "regression"


@pytest.mark.parametrize("task", TASKS)
def test_groups_of_every_task_are_compared_with_all_others(task: Task) -> None:
    about = subject(task)
    chapter = groups(about, SCREEN)
    assert {"site_North", "site_North_gap", "site_none", "site_none_gap"} <= set(chapter.measures)
    gap, own = chapter.measures["site_North_gap"], chapter.measures["site_North"]
    assert gap.low < gap.value < gap.high
    assert own.studies < gap.studies == 300
    assert "site: " in words(chapter)
    assert all(line == line.replace("\n", " ") for line in chapter.says)
    assert set(chapter.figures) == {"groups", "gaps"}
    for figure in chapter.figures.values():
        figure.draw_without_rendering()
    assert all(name.replace("_", "").replace("-", "").replace(".", "").isalnum() for name in chapter.measures)


def test_without_subgroup_columns_the_chapter_says_so() -> None:
    chapter = groups(subject("binary", sites=()), SCREEN)
    assert chapter.says == ("No column is named in cohort.subgroups, so no groups are compared.",)
    assert not chapter.measures
    assert not chapter.figures


def test_a_planted_gap_is_told_with_its_corrected_interval() -> None:
    about = subject("binary", studies=1200, sites=("North", "South"))
    scores = about.test.scores
    south = scores.groups["site"] == "South"
    scores.predicted[south] = np.random.default_rng(0).random((south.sum(), 1))
    said = words(groups(about, SCREEN))
    assert "site: South: auroc is 0." in said
    assert "lower than in all other studies, 95% interval for all 1 comparisons at once [" in said
    assert "No group differs" not in said


def test_what_a_figure_names_is_shown_as_it_is() -> None:
    assert plain("a\n$x$\x07 b") == "a $x$ b"
    assert plain("x" * 50) == "x" * 39 + "…"
    one = Estimate(0.8, 0.7, 0.9, 10, 9, 100)
    figure = groups_plot(one, [(HOSTILE, one, True)])
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == [plain(HOSTILE), "All studies"]
    for draw in (lambda: groups_plot(one, []), lambda: gaps_plot([])):
        with pytest.raises(DataError, match="nothing to draw"):
            draw()
