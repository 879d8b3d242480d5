"""One model: trained on the inputs of a cohort, calibrated on its validation studies, asked about its test studies."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch

from medmm.cohort.flow import is_rejected
from medmm.dataset.batches import Batches, TrainingBatches
from medmm.dataset.cache import PreparedInput
from medmm.dataset.features import backbone_of, kept_features
from medmm.doubts import ABSTAIN
from medmm.errors import DataError
from medmm.evaluation.decision import choose_thresholds
from medmm.evaluation.recalibration import choose_recalibration
from medmm.evaluation.standing import standing_share
from medmm.evaluation.tasks import has_both
from medmm.exact import SIZES, exact_tile
from medmm.fusion.late import Late
from medmm.intended_limits import fit_intended_use
from medmm.losses import make_loss
from medmm.model import DiagnosisModel
from medmm.package import Package
from medmm.predict import Predicted, Subset, predict, subsets
from medmm.references import Cell, fit_references
from medmm.rules.penalty import penalty_bounds
from medmm.training.attack import attacked
from medmm.training.loop import fit
from medmm.training.strategies.adversarial import Adversarial
from medmm.training.strategies.base import Situation
from medmm.types import CLASS_TASKS, Array, Firing, Scores

from .cohort import Cohort, subgroups_of
from .fine_tuning import groups_of
from .screen import Screen

Tell: TypeAlias = Callable[[Mapping[str, float], int], None]
"""Told measures and the epoch that they are of, from 1; 0 for those of the whole."""


ATTACK_STEPS = 10
"""Steps of the search by which robustness is judged, at least: a weak attack makes a network look robust."""


@dataclass(frozen=True)
class Learned:
    """One trained model with what it says of the validation and test studies.

    Attributes:
        package: The model with its temperature and thresholds, both from the validation studies.
        validation: Scores of the validation studies, after the rules.
        test: Subset of inputs -> scores of the test studies by the model alone, as if they had only these.
        answers: Scores of the test studies after the rules.
        fired: (S,) the rules that fired for each test study.
        present: (S, I) which inputs, in alphabetical order, each test study has.
        conflict: (S,) how far the inputs of each test study contradict each other; None where the fusion cannot tell.
        rows: (S,) index of each test study.
        stated: Column -> (S,) what the package says of each test study beside its answer; empty where it has nothing to say.
        attacked: Input -> scores of the test studies while the worst small change of this input is made, after adversarial
            training; else empty.
    """

    package: Package
    validation: Scores
    test: Mapping[Subset, Scores]
    answers: Scores
    fired: Sequence[tuple[Firing, ...]]
    present: Array
    conflict: Array | None
    rows: Array
    stated: Mapping[str, Sequence[Cell]] = field(default_factory=dict)
    attacked: Mapping[str, Scores] = field(default_factory=dict)


def learn(cohort: Cohort, tell: Tell, screen: Screen, title: str, checkpoints: Path, *, decides: bool = True) -> Learned:
    """Train one model on the inputs of a cohort, and let it speak of the validation and test studies.

    Args:
        cohort: Ready to learn from.
        tell: Told the measures of each epoch.
        screen: Shows progress.
        title: What the model is called there.
        checkpoints: Folder of this training alone; one that was broken off goes on from there.
        decides: Whether it gets thresholds, for which the validation studies need every class.

    Raises:
        DataError: No training or validation study has any of the inputs.
    """
    for part in ("train", "validation"):
        if not cohort.split[part]:
            raise DataError(
                f"no {part} study has the input {' or '.join(map(repr, cohort.inputs))}, so no model can be trained on it: "
                "leave the input out, or split otherwise"
            )
    config = cohort.config
    model = new_model(cohort)
    taken = frozenset() if cohort.start is None else frozenset(cohort.inputs) & frozenset(cohort.start.inputs)
    for name, one in cohort.inputs.items():
        if cohort.start is not None and name in taken:
            cohort.start.load(name, model.encoders[name])
        elif said := one.initialise(model.encoders[name]):
            screen.say(f"{name}: {said}")
    prepared = _prepared(cohort, model, screen)
    strategy, size, seed = config.training.strategy, config.training.batch_size, config.training.seed
    groups, group = groups_of(cohort, strategy.group_columns)
    bounds = _bounds(cohort)
    validation = Batches(prepared, cohort.split["validation"], cohort.target, size, group=group, bounds=bounds)
    with screen.step(f"training: {title}") as step:

        def report(epoch: int, measures: Mapping[str, float]) -> None:
            tell(measures, epoch)
            step(epoch, config.training.epochs, f"validation loss {measures['validation_loss']:.3f}")

        fitted = fit(
            strategy.build(model, Situation(groups, taken)),
            lambda epoch: TrainingBatches(
                prepared,
                cohort.split["train"],
                cohort.target,
                size,
                inputs=cohort.inputs,
                seed=seed,
                epoch=epoch,
                views=strategy.views,
                group=group,
                bounds=bounds,
                unlabelled=cohort.unlabelled,
                share=strategy.unlabelled,
                repeats=strategy.repeats,
            ),
            validation,
            config.training,
            checkpoints,
            report,
        )
    tell({"best_epoch": fitted.best_epoch, "epochs_run": fitted.epochs}, 0)
    return _speak(cohort, model, prepared, decides=decides)


def join(cohort: Cohort, singles: Mapping[str, Learned], screen: Screen, *, decides: bool = True) -> Learned:
    """Make one model of those that were trained on each input alone; what joins them is fitted on the validation studies."""
    model = new_model(cohort).eval()
    assert isinstance(model.fusion, Late)
    for name, single in singles.items():
        learned = single.package.model
        model.encoders[name].load_state_dict(learned.encoders[name].state_dict())
        model.auxiliary[name].load_state_dict(learned.auxiliary[name].state_dict())
    prepared = _prepared(cohort, model, screen)
    rows = cohort.split["validation"]
    alone = [frozenset([name]) for name in model.fusion.inputs]
    batches = Batches(prepared, rows, None, cohort.config.training.batch_size)
    predicted = predict(model, batches, alone, within_fusion=True)
    own = np.stack([predicted.logits[some] for some in alone], axis=1)  # (S, I, K)
    model.fusion.calibrate(own, predicted.present, cohort.target[list(rows)], model.criterion)
    return _speak(cohort, model, prepared, decides=decides)


def new_model(cohort: Cohort) -> DiagnosisModel:
    """Build the network of a cohort with the weights of its seed; its loss knows the labels of the training studies."""
    config = cohort.config
    criterion = make_loss(config.model.loss, config.target, config.model.class_weight)
    criterion.fit(cohort.target[list(cohort.taught)])
    torch.manual_seed(config.training.seed)
    return DiagnosisModel(config.model, cohort.inputs, criterion)


def _bounds(cohort: Cohort) -> Array | None:
    """Give what penalty rules allow of each study, (S, C, 3): lower and upper probability, and weight; None without rules."""
    bounds, weights = penalty_bounds(cohort.config.rulebook(), cohort.studies)
    return np.concatenate([bounds, weights[..., None]], axis=2) if weights.any() else None


def _prepared(cohort: Cohort, model: DiagnosisModel, screen: Screen) -> dict[str, PreparedInput]:
    """Give the prepared inputs; of a frozen backbone what it says of each study, computed once."""
    config = cohort.config
    device = torch.device("cuda" if torch.cuda.is_available() and config.training.accelerator != "cpu" else "cpu")
    prepared = dict(cohort.prepared)
    for name, one in cohort.inputs.items():
        backbone = backbone_of(model.encoders[name])
        if backbone is not None and backbone.frozen:
            with screen.step(f"features of {name}") as step:
                prepared[name] = kept_features(
                    prepared[name], one, backbone, config.folder / "cache", config.training.batch_size, device, step
                )
    return prepared


def _speak(cohort: Cohort, model: DiagnosisModel, prepared: Mapping[str, PreparedInput], *, decides: bool) -> Learned:
    config, task, everything = cohort.config, cohort.config.target.task, frozenset(cohort.inputs)
    batch_size = config.training.batch_size
    taught = cohort.split["train"]
    learners = (
        predict(model, Batches(prepared, taught, None, batch_size), [everything])
        if decides or model.criterion.settles
        else None
    )
    if model.criterion.settles and learners is not None:
        model.criterion.settle(learners.logits[everything], cohort.target[list(taught)])
    validation = predict(model, Batches(prepared, cohort.split["validation"], None, batch_size), [everything])
    logits = validation.logits
    truth = cohort.target[list(cohort.split["validation"])]
    tempered = model.criterion.tempered and (decides or bool(has_both(truth).any()))
    package = Package(
        name=config.name,
        cohort=config.cohort.model_copy(update={"root": Path()}),
        target=config.target,
        inputs=cohort.inputs,
        model_settings=config.model,
        model=model,
        temperature=1.0,
        thresholds=(),
        rules=config.rules if decides else (),
    )
    if tempered:
        package = _calibrated(package, logits[everything], truth, _patients(cohort, cohort.split["validation"]))
    book = package.rulebook()

    def answers(part: str, predicted: Array) -> tuple[Scores, Sequence[tuple[Firing, ...]]]:
        after, fired = book.answers([cohort.studies[i] for i in cohort.split[part]], predicted)
        return make_scores(cohort, cohort.split[part], after), fired

    chosen, _ = answers("validation", package.answer(logits[everything]))
    if decides:
        package = replace(package, thresholds=choose_thresholds(chosen, task, config.evaluation.decision))
        assert learners is not None
        numbers = [cohort.studies[i].row for i in taught]
        references = fit_references(
            config.evaluation, task, learners, validation, chosen, numbers, cohort.target[list(taught)], config.training.seed
        )
        intended = fit_intended_use(config.intended_use, [cohort.studies[i] for i in taught], list(cohort.inputs))
        some = next(
            iter(Batches(cohort.prepared, taught[: SIZES[0]], None, SIZES[0]))
        )  # as scoring sees them: no kept features
        package = replace(package, references=references, intended=intended, tile=exact_tile(model, some))
        package = _with_shares(package, cohort, chosen, validation)
    rows = cohort.split["test"]
    said = predict(model, Batches(prepared, rows, None, batch_size), subsets(sorted(everything)))
    logits, present, conflict = said.logits, said.present, said.conflict
    test = {some: make_scores(cohort, rows, package.answer(values)) for some, values in logits.items()}
    after, fired = answers("test", test[everything].predicted)
    robust = _attacked(cohort, package, prepared) if decides else {}  # told by the decisions
    stated = package.doubts([cohort.studies[i] for i in rows], after.predicted, said)
    return Learned(package, chosen, test, after, fired, present, conflict, np.array(rows), stated, robust)


def _calibrated(package: Package, logits: Array, truth: Array, patient: Array) -> Package:
    """Choose temperature and calibration by the validation studies."""

    def answer(some: Array, temperature: float) -> Array:
        return replace(package, temperature=temperature).answer(some)

    temperature, calibration = choose_recalibration(logits, truth, patient, package.target.task, answer)
    return replace(package, temperature=temperature, calibration=calibration)


def _with_shares(package: Package, cohort: Cohort, chosen: Scores, validation: Predicted) -> Package:
    """Note how many of the cohort were rejected, and of the validation studies abstained from, for later studies to compare."""
    assert package.references is not None
    said = package.doubts([cohort.studies[i] for i in cohort.split["validation"]], chosen.predicted, validation)
    abstain = standing_share("abstain", np.array(said[ABSTAIN], bool), chosen.patient)
    refused = [i for i, study in enumerate(cohort.studies) if study.label is not None and is_rejected(cohort.left_out.get(i))]
    taken = [i for rows in cohort.split.parts.values() for i in rows]
    flags = np.repeat([True, False], [len(refused), len(taken)])
    rejected = standing_share("rejected", flags, _patients(cohort, (*refused, *taken)))
    shares = tuple(one for one in (abstain, rejected) if one is not None)
    return replace(package, references=replace(package.references, standing=(*package.references.standing, *shares)))


def _patients(cohort: Cohort, rows: tuple[int, ...]) -> Array:
    return np.asarray(cohort.manifest.table["patient"].to_numpy()[list(rows)])


def _attacked(cohort: Cohort, package: Package, prepared: Mapping[str, PreparedInput]) -> dict[str, Scores]:
    """Give the scores of the test studies under an attack on each input, where the run asked for robustness."""
    strategy, rows = cohort.config.training.strategy, cohort.split["test"]
    if not isinstance(strategy, Adversarial) or not rows or package.target.task not in CLASS_TASKS:
        return {}
    harder = strategy.attack.model_copy(update={"steps": max(ATTACK_STEPS, strategy.attack.steps)})
    batches = Batches(prepared, rows, cohort.target, cohort.config.training.batch_size)
    said = attacked(package.model, batches, harder)
    return {name: make_scores(cohort, rows, package.answer(logits.numpy())) for name, logits in said.robust.items()}


def make_scores(cohort: Cohort, rows: tuple[int, ...], predicted: Array) -> Scores:
    """Put the truth beside the answers (S, C) to some studies."""
    numbers = _patients(cohort, rows)
    groups = subgroups_of(cohort.config, cohort.studies, rows)
    target = cohort.config.target
    return Scores(target.names, predicted, cohort.target[list(rows)], numbers, groups, target.horizons)
