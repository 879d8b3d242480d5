"""`medmm evaluate`: a packaged model on the labelled studies of a cohort."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from medmm.config import RunConfig
from medmm.evaluation.chapter import Chapter
from medmm.evaluation.checklists import CHECKLISTS as GUIDELINES
from medmm.evaluation.evaluate import evaluate
from medmm.evaluation.results import Evaluation
from medmm.training.tracking import Record, TrackingSettings, connect, open_record

from .chapters import CHAPTERS
from .checklists import checklist_markdown, checklist_table
from .evidence import Evidence, gather
from .evidence_page import PAGE, evidence_page
from .model_card import model_card, model_card_text
from .report import log_rules, metrics, named_numbers
from .screen import Screen
from .subject import Subject, open_subject


@dataclass(frozen=True)
class Evaluated:
    """What an evaluation gave.

    Attributes:
        evaluation: Metrics with intervals.
        own_cohort: The model was trained on this cohort, so only its test studies were taken.
        learned_from: Studies that were left out because the model learned from an image of their patient.
        left_out: Studies that could not be used.
        chapters: The evidence, part by part.
        run_page: The run's page below the address of the UI.
        report: The report as HTML.
    """

    evaluation: Evaluation
    own_cohort: bool
    learned_from: int
    left_out: int
    chapters: tuple[Chapter, ...]
    run_page: str
    report: str


def evaluate_model(model: str, config: RunConfig, screen: Screen) -> Evaluated:
    """Evaluate a packaged model, with its own threshold and temperature, on the labelled studies of the run file's cohort.

    Nothing is fitted or chosen here. On the very cohort that the model was trained on, only its test studies are judged; on
    another one, no study of a patient from whose images the model learned.

    Raises:
        MedmmError: Something that the user can repair; such as inputs or a target that are not the model's.
    """
    client = connect(config.tracking)
    subject = open_subject(model, config, screen)
    chapters = write_chapters(subject, screen)
    with open_record(client, tracking_of(config), "evaluation") as record:
        evaluation, report = keep_evidence(record, subject, chapters)
    return Evaluated(evaluation, subject.own, subject.learned_from, len(subject.left_out), chapters, record.address(), report)


def tracking_of(config: RunConfig) -> TrackingSettings:
    """Give where what is found about a model is recorded: in the experiment of its trainings."""
    return config.tracking.model_copy(update={"experiment": config.tracking.experiment or config.name})


def keep_evidence(record: Record, subject: Subject, chapters: Sequence[Chapter]) -> tuple[Evaluation, str]:
    """Keep all that was found about a model in MLflow.

    Args:
        record: Where to.
        subject: The model and the studies.
        chapters: The parts of the evidence.

    Returns:
        The metrics of the answers after the rules, and the report as HTML.
    """
    config, scores, package = subject.config, subject.test.scores, subject.package
    task = config.target.task
    evaluation = evaluate(scores, task, package.thresholds, config.evaluation.resamples)
    record.tags({"model_digest": package.digest, "cohort_digest": subject.manifest.digest})
    record.measures(metrics(evaluation))
    parts = {"test": subject.test.rows.tolist()}
    log_rules(record, package.rulebook(), subject.studies, parts, subject.test.raw, config.evaluation.resamples)
    record.table(evaluation.table(), "test/results.csv")
    record.table(subject.manifest.table, "cohort.csv")
    log_chapters(record, chapters)
    today = datetime.now(UTC).date().isoformat()
    return evaluation, log_evidence(record, gather(subject, evaluation, tuple(chapters), today))


def write_chapters(subject: Subject, screen: Screen) -> tuple[Chapter, ...]:
    """Gather every part of the evidence."""
    return tuple(CHAPTERS[name](subject, screen) for name in CHAPTERS)


def log_chapters(record: Record, chapters: Sequence[Chapter]) -> None:
    """Keep numbers with their intervals, tables and figures of the evidence in MLflow."""
    for one in chapters:
        record.measures(named_numbers({f"{one.name}/{name}": estimate for name, estimate in one.measures.items()}))
        for name, table in one.tables.items():
            record.table(table, f"{one.name}/{name}.csv")
        for name, figure in one.figures.items():
            record.figure(figure, f"{one.name}/{name}.png")


def log_evidence(record: Record, evidence: Evidence) -> str:
    """Keep the report, the model card and the filled guidelines in MLflow, and give the report."""
    report = evidence_page(evidence)
    record.text(report, PAGE)
    record.document(model_card(evidence), "model_card.json")
    record.text(model_card_text(evidence, PAGE), "model_card.md")
    record.table(evidence.flow.table(), "flow.csv")
    record.table(evidence.table_one.table(), "table1.csv")
    for one in GUIDELINES:
        record.table(checklist_table(one, evidence, f"../{PAGE}"), f"checklists/{one.name}.csv")
        record.text(checklist_markdown(one, evidence, f"../{PAGE}"), f"checklists/{one.name}.md")
    record.tags({"mlflow.note.content": model_card_text(evidence, PAGE)})  # the description on the run's page
    return report
