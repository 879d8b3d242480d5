"""The report of an evaluation, `report.html`: every part of the evidence joined into one page."""

import platform
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from medmm import __version__
from medmm.evaluation.canvas import svg_of
from medmm.evaluation.chapter import Chapter
from medmm.evaluation.flowchart import flowchart
from medmm.evaluation.intervals import Estimate
from medmm.evaluation.plots import plots_of
from medmm.preview.cohort_page import table_of
from medmm.preview.page import plain
from medmm.preview.report_page import Drawing, Link, Part, Sheet, Summary, Tag, limits, measure, number, report_page

from .characteristics import NOTE
from .checklists import checklist_sheets, counted
from .evidence import (
    BRIEF,
    CHECKLISTS,
    FLOW,
    LIMITS,
    MADE,
    RESULTS,
    TABLE_ONE,
    Evidence,
    anchor_of,
    finding,
    verdicts,
)
from .evidence import limits as limits_of

PAGE = "report.html"
METRICS = {
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "brier": "Brier score",
    "r2": "R²",
    "mae": "mean absolute error",
    "c_index": "C-index",
}
"""Names of metrics for the eye, where they are others than those in MLflow."""

DIGITS = 16
"""Of a digest that stand on the page."""


def evidence_page(evidence: Evidence) -> str:
    """Give the page."""
    package = evidence.subject.package
    results = evidence.evaluation.table()
    parts = [
        *_brief(evidence),
        _flow_part(evidence),
        Part(TABLE_ONE, "Who the patients are (Table 1)", html=_table_one_html(evidence), across=True),
        _results_part(evidence),
        *(chapter_part(one, results) for one in evidence.chapters),
        Part(LIMITS, "Limits: what this report does not show", limits_of(evidence), lead=False),
        Part(
            CHECKLISTS,
            "What reporting guidelines ask for",
            [counted(evidence), "What a guideline asks for and no program can know is listed as open: a human must write it."],
            sheets=checklist_sheets(evidence),
        ),
        Part(
            MADE,
            "How this report was made",
            sheets=[Sheet("Facts", ("what", "value"), made_of(evidence), folded=False)],
            flows=True,
        ),
    ]
    facts = f"Evaluation of {evidence.date}, model {package.digest[:DIGITS]}. Intervals hold the truth in 95 % of repetitions; "
    facts += "each is made by drawing patients, not studies, anew."
    made = f"Made by medmm {__version__}. Research software, not a medical device: not for use in the care of a patient."
    return report_page(f"{package.name}: evidence about the model", facts, _summary(evidence), parts, made)


def _brief(evidence: Evidence) -> list[Part]:
    """Give what each chapter found in a sentence."""
    rows = [(Link(one.title, anchor_of(one)), finding(one)) for one in evidence.chapters]
    sheet = Sheet("", ("part", "what was found"), rows, folded=False)
    return [Part(BRIEF, "In brief", sheets=[sheet], flows=True)] if rows else []


def chapter_part(one: Chapter, told: pd.DataFrame | None = None) -> Part:
    """Turn a chapter into a part of the page: what it says, its figures, its tables, and all of its numbers, folded.

    Args:
        one: The chapter.
        told: A table that stands on the page already.
    """
    lead = finding(one)
    drawings = [Drawing(svg_of(figure), f"{_words(name)}. {lead}") for name, figure in one.figures.items()]
    sheets = [sheet_of(_words(name), table) for name, table in one.tables.items() if told is None or not table.equals(told)]
    if one.measures:
        sheets.append(_numbers(one.measures, "All numbers of this part"))
    return Part(anchor_of(one), one.title, one.says, drawings, sheets)


def sheet_of(title: str, table: pd.DataFrame) -> Sheet:
    """Turn a table into one for the eye: a number with its limits (X, X_low, X_high, or low and high beside it) in one cell."""
    names = [str(name) for name in table.columns]
    cells = {name: [_plain_cell(cell) for cell in table.iloc[:, place].tolist()] for place, name in enumerate(names)}
    columns: dict[str, list[object]] = {}
    for place, name in enumerate(names):
        of_its_own = (f"{name}_low", f"{name}_high")
        beside = ("low", "high") if names[place + 1 : place + 3] == ["low", "high"] else of_its_own
        if set(beside) <= set(names):
            columns[name] = [
                _with_limits(*three) for three in zip(cells[name], cells[beside[0]], cells[beside[1]], strict=True)
            ]
        elif name.endswith("_low") and f"{name[:-4]}_high" in names and name[:-4] not in names:
            pairs = zip(cells[name], cells[f"{name[:-4]}_high"], strict=True)
            columns[name[:-4]] = [_interval(*pair) for pair in pairs]
        elif not _is_limit(place, names):
            columns[name] = cells[name]
    rows = list(zip(*columns.values(), strict=True)) if columns else []
    return Sheet(title, [_words(name, capital=False) for name in columns], rows)


def _is_limit(place: int, names: Sequence[str]) -> bool:
    """Tell whether a column holds a limit that stands in the cell of its number."""
    name = names[place]
    if name in ("low", "high"):
        first = place - (1 if name == "low" else 2)
        return first >= 0 and names[first + 1 : first + 3] == ["low", "high"]
    base = name.removesuffix("_low").removesuffix("_high")
    return base != name and {f"{base}_low", f"{base}_high"} <= set(names)


def _interval(low: object, high: object) -> object:
    if not all(isinstance(one, int | float) and not isinstance(one, bool) for one in (low, high)):
        return low
    return limits(float(str(low)), float(str(high)))


def _with_limits(value: object, low: object, high: object) -> object:
    value, low, high = (float("nan") if one is None else one for one in (value, low, high))
    if not all(isinstance(one, int | float) and not isinstance(one, bool) for one in (value, low, high)):
        return value
    return measure(*(float(str(one)) for one in (value, low, high)))


def _plain_cell(cell: object) -> object:
    """Give a cell as a text, a count, a number or None."""
    if isinstance(cell, str | bool | int):
        return cell
    if isinstance(cell, float):
        return None if np.isnan(cell) else cell
    if isinstance(cell, np.generic):
        return _plain_cell(cell.item())
    return None if cell is None or cell is pd.NA or cell is pd.NaT else str(cell)


def _numbers(measures: Mapping[str, Estimate], title: str) -> Sheet:
    rows = [
        (_words(name, capital=False), measure(one.value, one.low, one.high), one.studies, one.patients)
        for name, one in measures.items()
    ]
    return Sheet(title, ("number", "value [95 % interval]", "studies", "patients"), rows, folded=True)


def _words(name: str, *, capital: bool = True) -> str:
    words = " ".join(METRICS.get(one, one) for one in name.replace("_", " ").split())
    return words[:1].upper() + words[1:] if capital else words


def _summary(evidence: Evidence) -> Summary:
    package, found = evidence.subject.package, evidence.evaluation.headline
    target = package.target
    inputs = ", ".join(f"{name} ({one.settings.kind})" for name, one in sorted(package.inputs.items()))
    cohort = package.facts.get("cohort", {})
    learned = cohort.get("train")
    thresholds = ", ".join(f"{name} from {t:.3f}" for name, t in zip(target.names, package.thresholds, strict=False))
    facts = [
        ("Predicts", f"{' or '.join(target.names)} ({target.task}{', in ' + target.unit if target.unit else ''})"),
        ("From", f"{inputs}; any may be absent"),
        ("Threshold", f"{thresholds}; chosen on the validation studies" if thresholds else "none: it gives a number"),
        ("Learned from", f"{learned['studies']:,} studies of {learned['patients']:,} patients" if learned else "not known"),
        ("Judged on", f"{found.studies:,} studies of {found.patients:,} patients, none of whom it learned from"),
        ("Meant for", "open: a human must write for whom and at what point of care; research only"),
    ]
    told = [(Tag(one.word, one.tone), one.said, one.anchor) for one in verdicts(evidence)]
    return Summary(
        f"{evidence.yardstick.label} on the test studies",
        number(found.value),
        f"95 % interval {limits(found.low, found.high)}",
        f"n = {found.studies:,} studies of {found.patients:,} patients",
        facts,
        told,
    )


def _flow_part(evidence: Evidence) -> Part:
    flow, subject = evidence.flow, evidence.subject
    first, last = flow.steps[0].there, flow.steps[-1].there
    whole = f"{first.studies:,} studies of {first.patients:,} patients in the studies table"
    some = f"Of {whole}, {last.studies:,} studies of {last.patients:,} patients are in use."
    says = [f"All {whole} are in use." if first.studies == last.studies else some]
    if subject.own:
        says.append("No patient stands on two sides of the split.")
    drawing = Drawing(svg_of(flowchart(flow)), "Flow of patients and studies. " + says[0])
    return Part(FLOW, "Who is in, and who is not", says, [drawing], [sheet_of("The flow in numbers", flow.table())], flows=True)


def _table_one_html(evidence: Evidence) -> str:
    return f'<p class="soft">{plain(NOTE)}</p>{table_of(evidence.table_one, "table-one")}'


def _results_part(evidence: Evidence) -> Part:
    subject, found = evidence.subject, evidence.evaluation
    scores, package, task = subject.test.scores, subject.package, subject.package.target.task
    says = [one.said for one in verdicts(evidence) if one.anchor == RESULTS]
    if task == "binary":
        says.append(_in_a_hundred(evidence))
    if package.rules:
        says.append("These numbers are of the answers after the clinical rules of the model.")
    shown = {name for one in evidence.chapters for name in one.figures}
    if evidence.chapter("calibration") is not None:
        shown.add("reliability")
    figures: dict[str, Figure] = {
        name: plot(scores, task, package.thresholds) for name, plot in plots_of(task).items() if name not in shown
    }
    drawings = [Drawing(svg_of(figure), f"{_words(name)}. {says[0]}") for name, figure in figures.items()]
    table = found.table()
    table["metric"] = [METRICS.get(name, name) for name in table["metric"]]
    sheets = [sheet_of("Results on the test studies", table)]
    inputs = package.facts.get("inputs", [])
    if subject.own and len(inputs) > 1:
        told = sheet_of("Each input alone, and the model with inputs hidden", pd.DataFrame(inputs))
        sheets.append(Sheet(told.title, told.columns, told.rows, folded=True, note="As measured at the training."))
    return Part(RESULTS, "How well it tells", says, drawings, sheets)


def _in_a_hundred(evidence: Evidence) -> str:
    """Say sensitivity and specificity in counts of a hundred, easier to grasp than shares (Gigerenzer, 2007)."""
    name = evidence.subject.package.target.names[0]
    hit, clear = (evidence.evaluation.pick(metric) for metric in ("sensitivity", "specificity"))
    if np.isnan([hit.value, clear.value]).any():
        return "The test studies are all of one class, so neither sensitivity nor specificity can be told."
    return (
        f"At its threshold the model calls {_hundred(hit)} of 100 studies with {name} positive, and "
        f"{_hundred(clear)} of 100 without it negative."
    )


def _hundred(one: Estimate) -> str:
    value, low, high = (f"{100 * share:.0f}" for share in (one.value, one.low, one.high))
    return f"{value} [{low}, {high}] (n = {one.studies:,} studies of {one.patients:,} patients)"


def made_of(evidence: Evidence) -> list[tuple[str, str]]:
    """Tell what the evaluation was made of: digests, versions, settings; no path and no address."""
    subject = evidence.subject
    package, facts = subject.package, subject.package.facts
    split = facts.get("proof", {}).get("split", {})
    single = {name: value for name, value in split.items() if value is not None and name != "fractions"}
    single |= split.get("fractions", {})
    shown = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in single.items())
    checks = facts.get("proof", {}).get("checks", [])
    said = [
        ("model", package.name),
        ("digest of the package", package.digest),
        ("digest of the cohort", subject.manifest.digest),
        ("digest of the cohort it was trained on", str(facts.get("cohort_digest", "not known"))),
        ("split of its training", shown or "not known"),
        (
            "leakage checks of its training",
            f"{len(checks)}, of which {sum(one.get('verdict') == 'passes' for one in checks)} pass",
        ),
        ("rules", ", ".join(rule.name for rule in package.rules) or "none"),
        ("resamples of patients for each interval", f"{subject.config.evaluation.resamples:,}"),
        ("fusion, width", f"{package.model_settings.fusion.name}, {package.model_settings.width}"),
        ("encoders", ", ".join(f"{name}: {one.settings.encoder.name}" for name, one in sorted(package.inputs.items()))),
        ("weights of the network", f"{sum(p.numel() for p in package.model.parameters()):,}"),
        ("temperature", number(package.temperature) if package.model.criterion.tempered else "none"),
        ("date", evidence.date),
        ("versions", f"medmm {__version__}, Python {platform.python_version()}, torch {torch.__version__}"),
    ]
    return said
