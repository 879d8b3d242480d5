"""`medmm evaluate`: a packaged model on the labelled studies of a cohort."""

from dataclasses import dataclass, replace

import numpy as np

from medmm.cohort.manifest import make_manifest, patient_numbers
from medmm.cohort.studies import Sources
from medmm.config import RunConfig
from medmm.dataset.batches import Batches
from medmm.dataset.cache import PreparedInput
from medmm.errors import DataError
from medmm.evaluation.evaluate import evaluate
from medmm.evaluation.plots import plots_of
from medmm.evaluation.results import Evaluation
from medmm.package import load_package
from medmm.predict import predict
from medmm.registry import fetched
from medmm.training.tracking import connect, open_record
from medmm.types import Scores

from .cohort import HEADERS, Intake, prepare_one, share_out, take_in
from .report import log_rules, metrics
from .screen import Screen


@dataclass(frozen=True)
class Evaluated:
    """What an evaluation gave.

    Attributes:
        evaluation: Metrics with intervals.
        own_cohort: The model was trained on this cohort, so only its test studies were taken.
        learned_from: Studies that were left out because the model learned from an image of their patient.
        left_out: Studies that could not be used.
        run_page: The run's page below the address of the UI.
    """

    evaluation: Evaluation
    own_cohort: bool
    learned_from: int
    left_out: int
    run_page: str


def evaluate_model(model: str, config: RunConfig, screen: Screen) -> Evaluated:
    """Evaluate a packaged model, with its own threshold and temperature, on the labelled studies of the run file's cohort.

    Nothing is fitted or chosen here. On the very cohort that the model was trained on, only its test studies are taken; on
    another one, no study of a patient from whose images the model learned.

    Raises:
        MedmmError: Something that the user can repair; such as inputs or a target that are not the model's.
    """
    client = connect(config.tracking)
    screen.say("loading the model ...")
    with fetched(model, config.tracking) as folder:
        package = load_package(folder)
    if set(package.inputs) != set(config.inputs) or package.target != config.target:
        raise DataError(
            "inputs or target of the run file are not those of the model: evaluate with the run file it was trained by"
        )
    config = config.model_copy(update={"rules": package.rules})  # they are part of the model
    screen.say("reading tables and image headers ...")
    sources = Sources.open(config.cohort, memory=config.folder / HEADERS)
    images = [one for one in package.inputs.values() if one.settings.kind == "image"]
    intake = take_in(config, sources, images, screen)
    studies, left_out, parts = intake.studies, dict(intake.left_out), _parts(config, intake)
    prepared: dict[str, PreparedInput] = {}
    for name, one in package.inputs.items():
        prepared[name] = intake.images.get(name) or prepare_one(config, one, studies, left_out, screen)
        left_out |= {i: reason.code.value for i, reason in prepared[name].rejected.items()}
    rows = [i for i in range(len(studies)) if i not in left_out]
    if not rows:
        raise DataError(f"none of the {len(studies)} studies can be used: look at them with `medmm inspect`")
    digests = {name: one.digests for name, one in prepared.items()}
    manifest = make_manifest(studies, {i: parts[i] for i in rows if i in parts}, left_out, digests)
    own = manifest.digest == package.facts.get("cohort_digest")
    known = set(package.facts.get("learned_from", ()))
    learners = {studies[i].patient_id for i, files in enumerate(manifest.files) if not known.isdisjoint(files)}
    judged = [i for i in rows if (parts.get(i) == "test" if own else studies[i].patient_id not in learners)]
    if not judged:
        raise DataError("the model learned from every patient of this cohort: evaluate it on patients that it has not seen")
    learned_from = 0 if own else len(rows) - len(judged)
    rows = judged
    everything = frozenset(package.inputs)
    logits, _, _ = predict(package.model, Batches(prepared, rows, None, config.training.batch_size), [everything])
    truth = np.array([studies[i].label for i in rows], dtype=np.float64)
    patients = np.array(patient_numbers(studies))[rows]
    book = package.rulebook()
    raw = Scores(config.target.names, package.answer(logits[everything]), truth, patients)
    after, _ = book.answers([studies[i] for i in rows], raw.predicted)
    scores = replace(raw, predicted=after)
    evaluation = evaluate(scores, config.target.task, package.thresholds, config.evaluation.resamples)
    tracking = config.tracking.model_copy(update={"experiment": config.tracking.experiment or config.name})
    with open_record(client, tracking, "evaluation") as record:
        record.tags({"model_digest": package.digest, "cohort_digest": manifest.digest})
        record.measures(metrics(evaluation))
        log_rules(record, book, studies, {"test": rows}, raw, config.evaluation.resamples)
        record.table(evaluation.table(), "test/results.csv")
        record.table(manifest.table, "cohort.csv")
        for name, plot in plots_of(config.target.task).items():
            record.figure(plot(scores, config.target.task, package.thresholds), f"plots/{name}.png")
    return Evaluated(evaluation, own, learned_from, len(left_out), record.address())


def _parts(config: RunConfig, intake: Intake) -> dict[int, str]:
    """Split as a training by this run file would; nothing where it could not."""
    try:
        parts, _ = share_out(config, intake.studies, intake.left_out)
    except DataError:  # a cohort to judge on may well be too small to train on
        return {}
    return parts
