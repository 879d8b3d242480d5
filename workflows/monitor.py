"""`medmm monitor`: is the model in use still shown what it was validated on, and does it still answer as well?"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from medmm.errors import ConfigError
from medmm.files import write_json, write_text
from medmm.monitoring.drift_tests import LEAST_PATIENTS, LEAST_STUDIES, Finding, drift_findings, has_enough
from medmm.monitoring.quality import Quality, judge_quality, labels_of
from medmm.monitoring.rates import rates_of
from medmm.monitoring.window import Window, read_window
from medmm.package import Package, load_package
from medmm.readers.table import read_table
from medmm.registry import fetched
from medmm.scoring.run import MOST_REJECTED
from medmm.training.tracking import Record, TrackingSettings, connect, open_record

from .monitor_page import monitor_page
from .monitored import Asked, Monitored, in_words, plain_of, rate_in_words, shares_of, subject_of
from .report import named_numbers
from .screen import Screen, with_interval

PAGE, NUMBERS = "monitor.html", "monitor.json"
EXPERIMENT = "{} monitoring"


def monitor(
    scores: Path, model: str, out: Path, tracking: TrackingSettings, screen: Screen, asked: Asked
) -> tuple[Monitored, str]:
    """Compare scored studies with the reference of a package, and write `monitor.html` and `monitor.json`.

    Args:
        scores: Output folder of `medmm score`.
        model: The package that scored them.
        out: Folder of the two files.
        tracking: The store that knows the model and keeps the run.
        screen: Shows progress.
        asked: What to look at.

    Returns:
        The answer, and the run's page below the address of the UI; "" where none is kept.

    Raises:
        MedmmError: Something that the user can repair.
    """
    screen.say("loading the model ...")
    with fetched(model, tracking) as folder:
        package = load_package(folder)
    if package.references is None:
        raise ConfigError("the package holds no reference to compare with: train again, so that it gets one")
    window = read_window(scores, package, asked.span)
    screen.say(f"comparing {len(window.study_id)} scored studies with the reference ...")
    answer = judge(package, window, asked)
    content = monitor_page(answer)
    write_text(out / PAGE, content)
    write_json(out / NUMBERS, plain_of(answer))
    if not asked.record:
        return answer, ""
    client = connect(tracking)
    settings = tracking.model_copy(update={"experiment": EXPERIMENT.format(package.name)})
    with open_record(client, settings, f"monitoring {answer.verdict}") as record:
        _log(record, answer, content)
    return answer, record.address()


def judge(package: Package, window: Window, asked: Asked) -> Monitored:
    """Make every test, each with its share of alpha."""
    assert package.references is not None
    known = package.references.drift
    no_verdict = ""
    findings: tuple[Finding, ...] = ()
    rates = rates_of(window, package.references.standing)
    alpha = shares_of(asked, rates)
    if not has_enough(known.patient):
        no_verdict = _too_few("the reference of the package holds", len(known.patient), len(set(known.patient.tolist())))
    elif not has_enough(window.batch.patient):
        no_verdict = _too_few("there are", len(window.batch.patient), len(set(window.batch.patient.tolist())))
    else:
        findings = drift_findings(known, package.target.names, window.batch)
    quality = _quality(package, window, asked.labels, alpha.quality)
    alarms = [f"{subject_of(one)}: {in_words(one)}" for one in findings if one.adjusted <= alpha.drift]
    alarms += [rate_in_words(one) for one in rates if one.too_many(alpha.rate, MOST_REJECTED)]
    if quality is not None:
        alarms += [
            f"{one.metric} of {one.class_name}: {with_interval(one.estimate)}; {one.why}" for one in quality.checks if one.alarm
        ]
    return Monitored(package, window, asked, findings, quality, rates, no_verdict, tuple(alarms))


def _too_few(what: str, studies: int, patients: int) -> str:
    return f"{what} {studies} studies of {patients} patients, {LEAST_STUDIES} of {LEAST_PATIENTS} are needed"


def _quality(package: Package, window: Window, file: Path | None, alpha: float) -> Quality | None:
    if file is None:
        return None
    if not file.is_file():
        raise ConfigError("there is no such table of labels: give one with a row a study")
    table = read_table(file)
    column = package.cohort.study if package.cohort.study in table.columns else "study_id"
    cells: Mapping[str, Sequence[str]] = {str(name): table[name].astype(str).tolist() for name in table.columns}
    labels, unreadable = labels_of(cells, package.target, column)
    return judge_quality(package, window.study_id, window.batch.patient, window.batch.answers, labels, alpha, unreadable)


def _log(record: Record, answer: Monitored, content: str) -> None:
    window = answer.window
    record.tags(
        {
            "package_digest": answer.package.digest,
            "verdict": answer.verdict,
            "scored": str(len(window.study_id)),
            "first": window.first,
            "last": window.last,
            "mlflow.note.content": "\n".join(f"- {one}" for one in answer.alarms) or answer.no_verdict or "no alarm",
        }
    )
    record.parameters({"alpha": answer.asked.alpha, **{name: str(one) for name, one in vars(answer.asked.span).items()}})
    record.measures(
        {
            "alarm": float(bool(answer.alarms)),
            "alarms": len(answer.alarms),
            "scored_studies": len(window.study_id),
            "scored_patients": len(set(window.patient_id.tolist())),
            "rejected_studies": sum(window.rejected.values()),
        }
    )
    record.measures(named_numbers({f"{one.what}/share": one.estimate for one in answer.rates}))
    record.measures({f"{one.what}/p": one.p for one in answer.rates if not math.isnan(one.p)})
    for one in answer.findings:
        name = f"{one.what}/{one.name}"
        record.measures({f"{name}_p": one.adjusted, f"{name}_distance": one.statistic, f"{name}_now": one.batch})
        record.measures({f"{name}_studies": one.studies, f"{name}_patients": one.patients})
    if answer.quality is not None:
        record.measures(
            named_numbers({f"quality/{one.metric}_{one.class_name}": one.estimate for one in answer.quality.checks})
        )
        record.table(pd.DataFrame([one.row() for one in answer.quality.results]), "results.csv")
    if answer.findings:
        record.table(pd.DataFrame([vars(one) for one in answer.findings]), "drift.csv")
    record.document(plain_of(answer), NUMBERS)
    record.text(content, PAGE)


def show_monitored(answer: Monitored, screen: Screen) -> None:
    """Write the tests and the verdict."""
    rows = [
        (
            subject_of(one),
            in_words(one),
            f"{one.p:.4f}",
            f"{one.adjusted:.4f}",
            "ALARM" if one.adjusted <= answer.shares.drift else "no alarm",
        )
        for one in sorted(answer.findings, key=lambda one: one.adjusted)
    ]
    n = f"{len(answer.window.study_id):,} studies of {len(set(answer.window.patient_id.tolist())):,} patients"
    if rows:
        screen.table(f"Drift of {n}", ("what", "how it differs", "p", "p among all tests", "verdict"), rows)
    if answer.quality is not None:
        checks = [
            (
                one.metric,
                one.class_name,
                with_interval(one.estimate),
                {True: "ALARM", False: "no alarm", None: "not judged"}[one.alarm],
                one.why,
            )
            for one in answer.quality.checks
        ]
        screen.table(
            f"Quality on {len(answer.quality.scores.patient):,} studies with a label",
            ("metric", "class", "value", "verdict", "why"),
            checks,
        )
    for rate in answer.rates:
        screen.say(f"{rate_in_words(rate)}; n = {rate.estimate.studies:,} studies of {rate.estimate.patients:,} patients")
    if answer.no_verdict:
        screen.say(f"no verdict on drift: {answer.no_verdict}")
    if answer.unlabelled:
        screen.say(f"no verdict on quality: {answer.unlabelled}")
    screen.say(f"{answer.verdict}" + (f": {len(answer.alarms)} of what was looked at" if answer.alarms else ""))
