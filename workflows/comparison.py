"""What a comparison says: every method beside the best single input, the verdict in words, a page and a plot."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from medmm.config import RunConfig
from medmm.evaluation.canvas import svg_of
from medmm.evaluation.critical_difference import FEWEST_BLOCKS, FEWEST_METHODS, Ranking, critical_difference_plot, rank
from medmm.evaluation.forest import methods_plot
from medmm.evaluation.intervals import Estimate
from medmm.evaluation.paired import Contrast, Rated, contrasts, headline_of
from medmm.evaluation.verdict import Verdict, judge
from medmm.evaluation.yardstick import AUROC, YARDSTICKS, Yardstick
from medmm.preview.page import Grid, grid, page, picture
from medmm.training.tracking import Record
from medmm.types import Array

from .cells import Method
from .report import number
from .screen import Screen, with_interval

PAGE = "compare.html"
TITLES = {"methods": "{} of each method", "critical_difference": "Ranks over folds and seeds"}

METHODS_COLUMNS = ("method", "kind", "{}, all studies", "studies", "patients", "{}, with its input", "studies")
METHODS_NOTE = (
    "{} with its 95 % interval by patient. Over all studies, a method that lacks its input says {} of the "
    "training studies; the last columns are about the studies that have it. Boosting is gradient boosting of the table, TF-IDF "
    "a logistic regression of the words and pairs of words of the note."
)

DELONG = "DeLong p"
GAINS_COLUMNS = (
    "fusion",
    "gain",
    "corrected interval",
    "corrected p",
    "bootstrap p",
    DELONG,
    "studies",
    "patients",
    "note",
)
GAINS_NOTE = (
    "On the studies that have that input, paired. The corrected limits and p hold for all fusions together, the upper limit "
    "also for the choice of the best single input on these very studies: the wider of the bootstrap by patient and of {}, the "
    "larger of their p after Holm."
)
ERRORS = {
    "auroc": "DeLong's interval (Obuchowski's for several studies a patient)",
    "": "the normal interval with the standard deviation of the bootstrap, which gives no p of its own",
}
PRIORS = {"auroc": "the prevalence", "r2": "the mean", "c_index": "the risk by the Kaplan-Meier curve"}

KINDS = {"fusion": "fusion", "single": "one input", "baseline": "one input, no network"}


@dataclass(frozen=True)
class Rating:
    """One method.

    Attributes:
        method: Which.
        everywhere: Headline over all studies; where it lacks its input it says what the training studies say as a whole.
        own: Headline over the studies that have its input.
        contrast: Of a fusion, with the best single input, on the studies that have that input; None of a single input.
    """

    method: Method
    everywhere: Estimate
    own: Estimate
    contrast: Contrast | None


@dataclass(frozen=True)
class Comparison:
    """All methods, the fusions first, each kind by its headline; and what follows.

    Attributes:
        ratings: One a method.
        best: The single input with the highest headline over all studies.
        verdict: Whether fusion is worth it.
        ranking: Of the methods over folds and seeds; None where there are too few of either.
        rests_on: How the studies were judged, in a sentence.
        yardstick: What the headline is.
    """

    ratings: tuple[Rating, ...]
    best: Method
    verdict: Verdict
    ranking: Ranking | None
    rests_on: str
    yardstick: Yardstick

    def table(self) -> pd.DataFrame:
        """Give one row a method."""
        return pd.DataFrame([_row(one, self.yardstick.metric) for one in self.ratings])


def judge_methods(config: RunConfig, methods: Sequence[Method], rated: Sequence[Rated], blocks: Array) -> Comparison:
    """Judge the methods.

    Args:
        config: The run, settled.
        methods: All of them.
        rated: What each says, in the same order.
        blocks: (parts, methods) headline of each in each part.
    """
    resamples = config.evaluation.resamples
    everyone = np.ones(len(rated[0].covers), bool)
    everywhere = [headline_of(one, everyone, resamples) for one in rated]
    single = [i for i, method in enumerate(methods) if method.kind != "fusion"]
    fused = [i for i, method in enumerate(methods) if method.kind == "fusion"]
    best = max(single, key=lambda i: np.nan_to_num(everywhere[i].value))
    family = contrasts([rated[i] for i in fused], rated[best], rated[best].covers, resamples, picked_from=len(single))
    by_fusion = dict(zip(fused, family, strict=True))
    ratings = [
        Rating(method, everywhere[i], headline_of(rated[i], rated[i].covers, resamples), by_fusion.get(i))
        for i, method in enumerate(methods)
    ]
    ratings.sort(key=lambda one: (one.method.kind != "fusion", -np.nan_to_num(one.everywhere.value)))
    ranking = None
    if len(methods) >= FEWEST_METHODS and np.isfinite(blocks).all(1).sum() >= FEWEST_BLOCKS:
        ranking = rank(blocks, [method.name for method in methods])
    return Comparison(
        tuple(ratings),
        methods[best],
        judge(family, config.compare.margin),
        ranking,
        _rests_on(config, everywhere[0], len(blocks)),
        YARDSTICKS[config.target.task],
    )


def log_comparison(record: Record, config: RunConfig, comparison: Comparison) -> None:
    """Log numbers with their intervals, the table, the figures and the page."""
    values: dict[str, float] = {}
    for one in comparison.ratings:
        name = one.method.name.replace(",", "")
        values |= _measures(f"{comparison.yardstick.metric}/{name}", one.everywhere)
        if one.contrast is not None:
            values |= _measures(f"gain/{name}", one.contrast.gain)
            values |= {
                f"gain/{name}_corrected_low": one.contrast.corrected_low,
                f"gain/{name}_corrected_high": one.contrast.corrected_high,
                f"gain/{name}_corrected_p": one.contrast.corrected_p,
            }
    record.measures(values)
    record.table(comparison.table(), "compare.csv")
    figures = figures_of(comparison)
    for name, figure in figures.items():
        record.figure(figure, f"plots/{name}.png")
    record.text(comparison_page(config, comparison, figures), PAGE)
    record.tags({"verdict": comparison.verdict.kind, "best_single_input": comparison.best.name})
    record.tags({"mlflow.note.content": f"{comparison.verdict.text}\n\n{comparison.rests_on}\n\nThe page is `{PAGE}`."})


def figures_of(comparison: Comparison) -> dict[str, Figure]:
    """Draw the headlines, and the ranks where there are enough of them."""
    rows = [(one.method.name, one.everywhere, one.method.kind == "fusion") for one in comparison.ratings]
    figures = {"methods": methods_plot(rows, comparison.yardstick)}
    if comparison.ranking is not None:
        figures["critical_difference"] = critical_difference_plot(comparison.ranking)
    return figures


def comparison_page(config: RunConfig, comparison: Comparison, figures: dict[str, Figure]) -> str:
    """Give the page: the verdict, the methods, the gains, the pictures."""
    verdict, label = comparison.verdict, comparison.yardstick.label
    titles = {name: title.format(label) for name, title in TITLES.items()}
    methods = tuple(column.format(label) for column in METHODS_COLUMNS)
    notes = GAINS_NOTE.format(ERRORS.get(comparison.yardstick.metric, ERRORS[""]))
    columns = tuple(column for column in GAINS_COLUMNS if column != DELONG or comparison.yardstick is AUROC)
    gains = [_gain_row(one.contrast) for one in comparison.ratings if one.contrast is not None]
    body = [
        grid(Grid("Verdict", verdict.text.replace("`", ""), (), ())),
        grid(
            Grid(
                "Methods",
                METHODS_NOTE.format(label, PRIORS[comparison.yardstick.metric]),
                methods,
                [_method_row(one) for one in comparison.ratings],
            )
        ),
        grid(Grid(f"Gain over the best single input, {comparison.best.name}", notes, columns, gains)),
        *(f"<h2>{title}</h2>{picture(svg_of(figures[name]), title)}" for name, title in titles.items() if name in figures),
    ]
    return page(f"{config.name}: is fusion worth it?", comparison.rests_on, body)


def show_compared(comparison: Comparison, screen: Screen) -> None:
    """Write the table and the verdict."""
    rows = []
    for one in comparison.ratings:
        gain = "" if one.contrast is None else _corrected(one.contrast)
        p = "" if one.contrast is None else f"{one.contrast.corrected_p:.3f}"
        rows.append((one.method.name, with_interval(one.everywhere), gain, p))
    columns = ("method", comparison.yardstick.label, f"gain over {comparison.best.name}", "p")
    screen.table("Out of fold, with 95 % intervals by patient; gains and p corrected", columns, rows)
    screen.say("")
    screen.say(comparison.verdict.text)
    screen.say(comparison.rests_on)


def _rests_on(config: RunConfig, estimate: Estimate, parts: int) -> str:
    by = {"patient": "folds by patient", "group": "folds by group"}.get(config.split.by)
    seeds = len(set(config.compare.seeds))
    apart = not YARDSTICKS[config.target.task].shares_a_scale
    compared = ", and compared with studies of its own fold only" if apart else ""
    folds = f"{config.compare.folds} {by}" if by else f"one split by {config.split.by}"
    return (
        f"{estimate.studies:,} studies of {estimate.patients:,} patients, {folds}, {seeds} {'seed' if seeds == 1 else 'seeds'} "
        f"({parts} trainings a method); every study is judged by models that never saw its patient{compared}. "
        "The intervals are about patients; that another training would give other models is in them only as far as several "
        "seeds and folds show it."
    )


def _corrected(contrast: Contrast) -> str:
    return f"{contrast.gain.value:+.3f} [{contrast.corrected_low:+.3f}, {contrast.corrected_high:+.3f}]"


def _method_row(one: Rating) -> tuple[object, ...]:
    kind, everywhere = KINDS[one.method.kind], one.everywhere
    whole = (with_interval(everywhere), everywhere.studies, everywhere.patients)
    return (one.method.name, kind, *whole, with_interval(one.own), one.own.studies)


def _gain_row(contrast: Contrast) -> tuple[object, ...]:
    return (
        contrast.name,
        with_interval(contrast.gain),
        f"[{contrast.corrected_low:.3f}, {contrast.corrected_high:.3f}]",
        f"{contrast.corrected_p:.4f}",
        f"{contrast.bootstrap_p:.4f}",
        *([f"{contrast.delong_p:.4f}"] if contrast.yardstick is AUROC else []),
        contrast.gain.studies,
        contrast.gain.patients,
        contrast.note,
    )


def _row(one: Rating, metric: str) -> dict[str, object]:
    cells: dict[str, object] = {"method": one.method.name, "kind": KINDS[one.method.kind]}
    cells |= {f"{metric}_{name}": value for name, value in number(one.everywhere).items()}
    cells |= {f"own_{name}": value for name, value in number(one.own).items()}
    if one.contrast is not None:
        cells |= {f"gain_{name}": value for name, value in number(one.contrast.gain).items()}
        cells |= {
            "rival": one.contrast.rival,
            "corrected_low": one.contrast.corrected_low,
            "corrected_high": one.contrast.corrected_high,
            "corrected_p": one.contrast.corrected_p,
            "bootstrap_p": one.contrast.bootstrap_p,
            "delong_p": one.contrast.delong_p,
        }
    return cells


def _measures(name: str, estimate: Estimate) -> dict[str, float]:
    return {
        name: estimate.value,
        f"{name}_low": estimate.low,
        f"{name}_high": estimate.high,
        f"{name}_studies": estimate.studies,
        f"{name}_patients": estimate.patients,
    }
