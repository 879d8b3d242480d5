"""The page of `medmm monitor`: pictures beside the reference, a row a test, and what to do."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime

from matplotlib.figure import Figure

from medmm import __version__
from medmm.evaluation.calibration_curve import curve_plot, smooth_curve
from medmm.evaluation.canvas import counts, svg_of
from medmm.evaluation.intervals import sample_and_resamples
from medmm.evaluation.novelty import JOINT
from medmm.monitoring.drift_tests import Finding
from medmm.monitoring.pictures import answers_plot, presence_plot, representations_plot
from medmm.monitoring.quality import LEAST_OUTCOME, Quality
from medmm.monitoring.rates import Rate
from medmm.preview.report_page import Drawing, Part, Sheet, Summary, Tag, limits, measure, number, report_page
from medmm.scoring.run import MOST_REJECTED

from .monitored import Monitored, in_words, subject_of

DIGITS = 16
TONES = {"alarm": "bad", "no alarm": "good", "no verdict": "open"}
DRIFT = ("answer", "presence", "representation")
TITLES = {"answer": "Answers", "presence": "Which inputs are there", "representation": "What the inputs look like to the model"}
TODO = {
    "answer": "Ask first whether other patients come in: age, referral, prevalence. If not, label some and give --labels.",
    "presence": "Ask what has changed in the export or in a source system; `medmm inspect` shows what is found of an input.",
    "representation": "Look at recent studies beside older ones: scanner, protocol, unit of a laboratory, form of notes.",
}
CALIBRATION_TODO = "Do not rely on the probabilities until the model is calibrated or trained again on recent studies."


def monitor_page(answer: Monitored) -> str:
    """Give the page."""
    package, window = answer.package, answer.window
    parts = [_tests(answer)]
    if answer.findings:
        parts += [_pictured(answer, what) for what in DRIFT if any(one.what == what for one in answer.findings)]
    parts += [_rates(answer)]
    if answer.quality is not None:
        parts.append(_quality(answer.quality))
    parts += [Part("limits", "Limits: what this page does not show", _limits(answer), lead=False), _made(answer)]
    today = datetime.now(UTC).date().isoformat()
    span = f"scored from {window.first} to {window.last}" if window.first else "nothing was scored"
    facts = f"Looked at on {today}, model {package.digest[:DIGITS]}: {span}."
    made = f"Made by medmm {__version__}. Research software, not a medical device: not for use in the care of a patient."
    return report_page(f"{package.name}: the model in use", facts, _summary(answer), parts, made)


def _summary(answer: Monitored) -> Summary:
    window, known = answer.window, answer.references.drift
    verdicts: list[tuple[Tag, str, str]] = [(Tag("alarm", "bad"), f"{one}.", "tests") for one in answer.alarms]
    if answer.no_verdict:
        verdicts.append((Tag("no verdict", "open"), f"On drift: {answer.no_verdict}.", ""))
    elif not any(one.adjusted <= answer.shares.drift for one in answer.findings):
        verdicts.append((Tag("no alarm", "good"), f"None of {len(answer.findings)} tests of drift raises an alarm.", "tests"))
    if answer.unlabelled:
        verdicts.append((Tag("no verdict", "open"), f"On quality: {answer.unlabelled}.", ""))
    people = len(set(window.patient_id.tolist()))
    return Summary(
        "Verdict",
        answer.verdict,
        f"with a chance of any false alarm of {answer.asked.alpha:.0%} a look",
        f"n = {len(window.study_id):,} scored studies of {people:,} patients",
        [
            ("Model", f"{answer.package.name}, {answer.package.digest[:DIGITS]}"),
            ("Reference", f"{len(known.patient):,} validation studies of {len(set(known.patient.tolist())):,} patients"),
            ("Rejected", f"{sum(window.rejected.values()):,} studies"),
            ("Labels", _labels(answer)),
        ],
        verdicts,
        "What was looked at",
    )


def _labels(answer: Monitored) -> str:
    if answer.asked.labels is None:
        return "none given"
    return "of no scored study" if answer.quality is None else f"of {len(answer.quality.scores.patient):,} studies"


def _tests(answer: Monitored) -> Part:
    alpha = answer.shares.drift
    rows = [
        (
            subject_of(one),
            in_words(one),
            number(one.p),
            number(one.adjusted),
            one.studies,
            one.patients,
            one.against,
            Tag("alarm", "bad") if one.adjusted <= alpha else Tag("no alarm", "good"),
            TODO[one.what] if one.adjusted <= alpha else "",
        )
        for one in sorted(answer.findings, key=lambda one: one.adjusted)
    ]
    columns = ("what", "how it differs", "p", "p among all", "studies", "patients", "reference", "verdict", "what to do")
    says = [
        f"Each test is held against draws of as many studies and patients from reference and batch together. p among all "
        f"counts how often chance alone gives any of the tests so small a p; up to {alpha:g} it is an alarm."
    ]
    if answer.no_verdict:
        says = [f"No verdict: {answer.no_verdict}."]
    elif answer.window.batch.embedding is None:
        says.append("The scores hold no projections, for an older version wrote them: representations are not compared.")
    elif left := [name for name in (JOINT, *answer.references.drift.inputs) if name not in _represented(answer)]:
        says.append(f"Too few studies have these inputs to compare what they look like: {', '.join(left)}.")
    return Part("tests", "Tests of drift", says, sheets=[Sheet("", columns, rows, folded=False)], lead=False, across=True)


def _represented(answer: Monitored) -> set[str]:
    return {one.name for one in answer.findings if one.what == "representation"}


def _pictured(answer: Monitored, what: str) -> Part:
    own = [one for one in answer.findings if one.what == what]
    least = min(own, key=lambda one: one.adjusted)
    says = [f"{subject_of(least)}: {in_words(least)}; p among all tests {number(least.adjusted)}."]
    return Part(what, TITLES[what], says, [Drawing(svg_of(_figure(answer, what, own)), says[0])])


def _figure(answer: Monitored, what: str, own: Sequence[Finding]) -> Figure:
    known, batch = answer.references.drift, answer.window.batch
    subtitle = f"{len(batch.patient):,} studies now, {len(known.patient):,} of the reference"
    if what == "answer":
        return answers_plot(known, batch, answer.package.target.names, TITLES[what], subtitle)
    if what == "presence":
        return presence_plot([(one.name, one.reference, one.batch) for one in own], TITLES[what], subtitle)
    return representations_plot(known, batch, TITLES[what], subtitle)


def _rates(answer: Monitored) -> Part:
    alpha = answer.shares.rate

    def row(name: str, one: Rate) -> tuple[object, ...]:
        shown, known, off = one.estimate, one.known, one.too_many(alpha, MOST_REJECTED)
        judged = (known is not None and not math.isnan(one.p)) or (known is None and one.what == "rejected")
        return (
            name,
            measure(shown.value, shown.low, shown.high),
            shown.studies,
            shown.patients,
            "" if known is None else measure(known.value, *known.limits),
            "" if known is None else known.studies,
            "" if math.isnan(one.p) else number(one.p),
            Tag("alarm", "bad") if off else Tag("no alarm", "good") if judged else Tag("not judged", "open"),
        )

    names = {"rejected": "rejected, of what came in", "abstain": "no answer to rely on (abstain), of what was scored"}
    says = []
    if any(one.known is not None for one in answer.rates):
        says.append(
            f"A share is held against that of the cohort (rejected) or of the validation studies (abstain), by Fisher's exact "
            f"test of the numbers of independent studies; p up to {alpha:g} that it has not risen is an alarm."
        )
    if answer.rates[0].known is None:
        says.append(
            "The package does not say how many studies were rejected when it was made, so there is no test: more than "
            f"{MOST_REJECTED:.0%} rejected, by the whole interval, is an alarm, as for a scoring."
        )
    columns = ("share", "value", "studies", "patients", "before", "studies then", "p", "verdict")
    rows = [row(names[one.what], one) for one in answer.rates]
    return Part(
        "rates",
        "Rejected studies and abstentions",
        says,
        sheets=[
            Sheet("Shares, with 95 % intervals by patient", columns, rows, folded=False),
            Sheet("Rejected by code", ("code", "studies"), list(answer.window.rejected.items()), folded=False),
        ],
        lead=False,
    )


def _quality(quality: Quality) -> Part:
    scores = quality.scores
    tags = {True: Tag("alarm", "bad"), False: Tag("no alarm", "good"), None: Tag("not judged", "open")}
    rows = [
        (
            f"{one.metric} of {one.class_name}",
            measure(one.estimate.value, one.estimate.low, one.estimate.high),
            "" if math.isnan(one.expected) else number(one.expected),
            one.estimate.studies,
            one.estimate.patients,
            tags[one.alarm],
            f"{one.why}." + (f" {CALIBRATION_TODO}" if one.alarm else ""),
        )
        for one in quality.checks
    ]
    results = [
        (
            one.metric,
            one.class_name,
            number(one.estimate.value),
            limits(one.estimate.low, one.estimate.high),
            one.estimate.studies,
            one.estimate.patients,
        )
        for one in quality.results
    ]
    drawings = []
    if not scores.horizons:
        weights = sample_and_resamples(scores.patient, 500, 0)
        within = (0.0, 1.0) if any(one.metric == "brier" for one in quality.results) else None
        curves = [
            smooth_curve(name, scores.predicted[:, column], scores.target[:, column], weights, within)
            for column, name in enumerate(scores.classes)
            if len(set(scores.target[:, column].tolist())) > 1
        ]
        if curves:
            words = ("probability", "share") if within else ("value", "value")
            figure = curve_plot(curves, "Calibration", counts(scores), words, within)
            drawings.append(Drawing(svg_of(figure), "What was said, and what was true of it."))
    says = [
        f"{counts(scores)} have a label; {quality.unknown:,} scored studies have none, and {quality.unreadable:,} labels could "
        f"not be read. A check needs {LEAST_OUTCOME} patients of each outcome. Its verdict is that of a test which holds for "
        "few studies; the interval beside it is of the value alone."
    ]
    return Part(
        "quality",
        "Against the truth",
        says,
        drawings,
        [
            Sheet("Checks", ("what", "value", "expected", "studies", "patients", "verdict", "why"), rows, folded=False),
            Sheet("All results", ("metric", "class", "value", "95 % interval", "studies", "patients"), results),
        ],
        lead=False,
    )


def _limits(answer: Monitored) -> list[str]:
    return [
        "No alarm does not mean no drift: with 30 studies only a large one can be found. docs/monitoring.md has the sizes.",
        "An alarm says that studies differ from the validation studies, not that the answers are wrong. Only labels tell that.",
        f"Every look has its own chance of {answer.asked.alpha:.0%} of a false alarm: of 20 looks at an unchanged hospital, "
        f"{1 - (1 - answer.asked.alpha) ** 20:.0%} raise one or more. For a nightly look, take --alpha 0.01, or look weekly.",
        "Labels that come in early may be those of the ill or of the well: calibration is that of the labelled studies alone.",
        "Patients of the batch that are also in the reference cannot be told apart from others.",
    ]


def _made(answer: Monitored) -> Part:
    span = answer.asked.span
    rows = [
        ("digest of the package", answer.package.digest),
        ("since", "open" if span.since is None else span.since.isoformat()),
        ("until", "open" if span.until is None else span.until.isoformat()),
        ("alpha", answer.asked.alpha),
        ("medmm", __version__),
    ]
    return Part("made", "How this page was made", sheets=[Sheet("Facts", ("what", "value"), rows, folded=False)], flows=True)
