"""One model: trained on the inputs of a cohort, calibrated on its validation studies, asked about its test studies."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from medmm.config import RunConfig
from medmm.dataset.batches import Batches, TrainingBatches
from medmm.evaluation.calibration import fit_temperature
from medmm.evaluation.decision import choose_thresholds
from medmm.model import DiagnosisModel, balanced_weights
from medmm.package import Package
from medmm.predict import Subset, predict, subsets
from medmm.training.loop import fit
from medmm.training.tracking import Record
from medmm.types import Array, Scores

from .cohort import Cohort
from .screen import Screen


@dataclass(frozen=True)
class Learned:
    """One trained model with what it says of the validation and test studies.

    Attributes:
        package: The model with its temperature and thresholds, both from the validation studies.
        validation: Scores of the validation studies.
        test: Subset of inputs -> scores of the test studies, as if they had only these.
        present: (S, I) which inputs, in alphabetical order, each test study has.
        rows: (S,) index of each test study.
    """

    package: Package
    validation: Scores
    test: Mapping[Subset, Scores]
    present: Array
    rows: Array


def learn(config: RunConfig, cohort: Cohort, record: Record, screen: Screen, title: str) -> Learned:
    """Train one model on the inputs of a cohort, and let it speak of the validation and test studies."""
    task = config.target.task
    rows = {part: cohort.split[part] for part in ("train", "validation", "test")}
    target = cohort.target[list(rows["train"])]
    weight = balanced_weights(target, task) if config.model.class_weight == "balanced" else (1.0,) * target.shape[1]
    torch.manual_seed(config.training.seed)
    model = DiagnosisModel(config.model, cohort.inputs, task, weight)
    for name, one in cohort.inputs.items():
        one.initialise(model.encoders[name])
    size = config.training.batch_size
    validation = Batches(cohort.prepared, rows["validation"], cohort.target, size)
    with screen.step(f"training: {title}") as step:

        def report(epoch: int, measures: Mapping[str, float]) -> None:
            record.measures(measures, epoch)
            step(epoch, config.training.epochs, f"validation loss {measures['validation_loss']:.3f}")

        fitted = fit(
            model,
            lambda epoch: TrainingBatches(
                cohort.prepared,
                rows["train"],
                cohort.target,
                size,
                inputs=cohort.inputs,
                seed=config.training.seed,
                epoch=epoch,
            ),
            validation,
            config.training,
            config.folder / "checkpoints" / "-".join(sorted(cohort.inputs)),
            report,
        )
    record.measures({"best_epoch": fitted.best_epoch, "epochs_run": fitted.epochs})
    return _speak(config, cohort, model, weight)


def _speak(config: RunConfig, cohort: Cohort, model: DiagnosisModel, weight: tuple[float, ...]) -> Learned:
    task, everything = config.target.task, frozenset(cohort.inputs)
    batch_size = config.training.batch_size
    validation = Batches(cohort.prepared, cohort.split["validation"], None, batch_size)
    logits, _ = predict(model, validation, [everything])
    truth = cohort.target[list(cohort.split["validation"])]
    temperature = fit_temperature(logits[everything], truth, task)
    package = Package(
        name=config.name,
        cohort=config.cohort.model_copy(update={"root": Path()}),
        target=config.target,
        inputs=cohort.inputs,
        model_settings=config.model,
        model=model,
        temperature=temperature,
        thresholds=(),
    )
    chosen = make_scores(config, cohort, cohort.split["validation"], package.probability(logits[everything]))
    package = replace(package, thresholds=choose_thresholds(chosen, task, config.evaluation.decision))
    rows = cohort.split["test"]
    logits, present = predict(model, Batches(cohort.prepared, rows, None, batch_size), subsets(sorted(everything)))
    test = {some: make_scores(config, cohort, rows, package.probability(values)) for some, values in logits.items()}
    return Learned(package, chosen, test, present, np.array(rows))


def make_scores(config: RunConfig, cohort: Cohort, rows: tuple[int, ...], probability: Array) -> Scores:
    """Put the truth beside the probabilities (S, C) of some studies."""
    studies = [cohort.studies[i] for i in rows]
    numbers = cohort.manifest.table["patient"].to_numpy()[list(rows)]
    groups = {name: np.array([study.groups[name] for study in studies]) for name in config.cohort.subgroups}
    return Scores(config.target.names, probability, cohort.target[list(rows)], numbers, groups)
