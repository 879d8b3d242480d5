"""Cohorts drawn in memory, one or two studies of each patient, and trainings on them. S studies, R resamples."""

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from medmm.dataset.batches import Batches, TrainingBatches
from medmm.dataset.cache import PreparedInput
from medmm.evaluation.metrics import auroc
from medmm.inputs import Inputs
from medmm.inputs.base import Fields
from medmm.inputs.image import ImageSettings
from medmm.inputs.tabular import TabularSettings
from medmm.inputs.text import TextSettings
from medmm.losses.classes import balanced_weights
from medmm.losses.cross_entropy import CrossEntropy
from medmm.model import DiagnosisModel, ModelSettings
from medmm.predict import predict
from medmm.training.loop import fit
from medmm.training.settings import TrainingSettings
from medmm.training.strategies import STRATEGIES
from medmm.training.strategies.base import Situation, StrategySettings
from medmm.types import Array, Scores

SIDE = 24
SITES = ("A", "B", "C")
STILL = dict.fromkeys(["shift", "rotation_degrees", "scale", "noise", "contrast"], 0)
"""No augmentation in training, which would take most of the time."""


@dataclass(frozen=True)
class Planted:
    """A cohort in memory.

    Attributes:
        inputs: Fitted on the training studies.
        prepared: As the cache gives them.
        target: (S, 1), NaN where training may not know it.
        truth: (S, 1)
        patient: (S,)
        site: (S,) place in `SITES`.
        parts: Indices of the studies of train, validation, test and unlabelled.
    """

    inputs: Inputs
    prepared: Mapping[str, PreparedInput]
    target: Array
    truth: Array
    patient: Array
    site: Array
    parts: Mapping[str, Sequence[int]]


@dataclass(frozen=True)
class Patients:
    """Who is drawn: a row a study, the studies of a patient side by side.

    Attributes:
        patient: (S,)
        sick: (S,) 0 or 1, the same for both studies of a patient.
        site: (S,) the same for both too.
        part: (S,) train, validation, test or unlabelled.
    """

    patient: Array
    sick: Array
    site: Array
    part: Array


def draw_patients(
    rng: np.random.Generator,
    sizes: Mapping[str, int],
    prevalence: Mapping[str, Sequence[float]] | None = None,
    shares: Mapping[str, Sequence[float]] | None = None,
) -> Patients:
    """Draw patients of one or two studies.

    Args:
        rng: Of the cohort.
        sizes: Part -> patients.
        prevalence: Part -> of each site; a half in parts that it does not name.
        shares: Part -> of the patients who are of each site; the same for all sites in parts that it does not name.
    """
    prevalence, shares = prevalence or {}, shares or {}
    part = np.repeat(list(sizes), list(sizes.values()))
    site = np.concatenate([rng.choice(len(SITES), size, p=shares.get(one)) for one, size in sizes.items()])
    chance = np.array([prevalence.get(one, (0.5,) * len(SITES))[where] for one, where in zip(part, site, strict=True)])
    sick = (rng.random(len(part)) < chance).astype(int)
    patient = np.repeat(np.arange(len(part)), rng.integers(1, 3, len(part)))
    return Patients(patient, sick[patient], site[patient], part[patient])


def draw_images(rng: np.random.Generator, lesion: Array, mark: Array | None = None, grain: Array | None = None) -> Array:
    """Draw (S, 1, SIDE, SIDE) noise with a round lesion somewhere in it.

    Args:
        rng: Of the cohort.
        lesion: (S,) how bright it is.
        mark: (S,) how bright a square in a corner is.
        grain: (S,) how strong a fine checker over all of the image is.
    """
    studies = len(lesion)
    row, column = np.mgrid[:SIDE, :SIDE]
    centre = rng.uniform(7, SIDE - 7, (studies, 2, 1, 1))
    distance = (row - centre[:, 0]) ** 2 + (column - centre[:, 1]) ** 2
    images = 0.4 + rng.normal(0, 0.1, (studies, SIDE, SIDE)) + lesion[:, None, None] * np.exp(-distance / 18)
    if mark is not None:
        images[:, 1:4, 1:4] += mark[:, None, None]
    if grain is not None:
        images += grain[:, None, None] * np.where((row + column) % 2, 1, -1)
    return np.asarray(images.clip(0, 1).astype(np.float16)[:, None])


def draw_cells(rng: np.random.Generator, patients: Patients, shift: Sequence[float]) -> list[dict[str, str]]:
    """Draw numbers that the sick have higher by so many standard deviations; half of the variance is the patient's own."""
    own = rng.normal(0, 0.5**0.5, (patients.patient.max() + 1, len(shift)))
    now = rng.normal(0, 0.5**0.5, (len(patients.patient), len(shift)))
    values = patients.sick[:, None] * np.asarray(shift) + own[patients.patient] + now
    return [{f"n{i}": f"{value:.3f}" for i, value in enumerate(row)} for row in values]


def draw_notes(rng: np.random.Generator, sick: Array, words: int, telling: int, tilt: float, length: int) -> list[str]:
    """Draw notes of so many words; of the telling ones half are likelier in notes of the sick, half in those of the others."""
    side = np.where(np.arange(words) < telling, np.where(np.arange(words) % 2, 1, -1), 0)
    notes = []
    for one in sick:
        chance = np.exp(tilt * side * (2 * one - 1))
        notes.append(" ".join(f"word{word}" for word in rng.choice(words, length, p=chance / chance.sum())))
    return notes


def image_input(encoder: Mapping[str, object] | None = None) -> ImageSettings:
    """Give the settings of the images."""
    small = {"name": "resnet18", "channels": 8}
    return ImageSettings.model_validate({"path": "", "size": [SIDE, SIDE], "augmentation": STILL, "encoder": encoder or small})


def plant(
    patients: Patients,
    images: Array | None = None,
    cells: Sequence[Mapping[str, str]] | None = None,
    notes: Sequence[str] | None = None,
    image: ImageSettings | None = None,
) -> Planted:
    """Fit the inputs on the training studies, and prepare all studies."""
    known = np.flatnonzero((patients.part == "train") | (patients.part == "unlabelled"))
    who = [str(patients.patient[i]) for i in known]
    inputs: dict[str, object] = {}
    prepared: dict[str, PreparedInput] = {}
    if images is not None:
        inputs["chest"] = (image or image_input()).open("chest")
        prepared["chest"] = held({"image": images})
    if cells is not None:
        table = TabularSettings.model_validate(
            {"table": "x", "numeric": {name: {} for name in cells[0]}, "encoder": {"name": "mlp", "hidden": 32}}
        )
        labs = table.open("labs").fit([(name, cells[i]) for name, i in zip(who, known.tolist(), strict=True)])
        inputs["labs"], prepared["labs"] = labs, held(stacked([labs.prepare(row) for row in cells]))
    if notes is not None:
        text = TextSettings.model_validate({"table": "x", "max_tokens": 64, "encoder": {"name": "bag_of_words", "pairs": 0}})
        history = text.open("history").fit([(name, notes[i]) for name, i in zip(who, known.tolist(), strict=True)])
        inputs["history"], prepared["history"] = history, held(stacked([history.prepare(note) for note in notes]))
    truth = patients.sick[:, None].astype(float)
    parts = {name: np.flatnonzero(patients.part == name).tolist() for name in ("train", "validation", "test", "unlabelled")}
    target = np.where((patients.part == "unlabelled")[:, None], np.nan, truth)
    return Planted(inputs, prepared, target, truth, patients.patient, patients.site, parts)  # type: ignore[arg-type]


def held(fields: Mapping[str, Array]) -> PreparedInput:
    """Give an input that every study has."""
    studies = len(next(iter(fields.values())))
    place = np.stack([np.zeros(studies, int), np.arange(studies)], axis=1)
    return PreparedInput(place, (fields,), {}, [])


def stacked(rows: Sequence[Fields]) -> Fields:
    """Put the fields of studies together."""
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def strategy(name: str, **options: object) -> StrategySettings:
    """Give the settings of a way to fine-tune."""
    return STRATEGIES.pick(name).model_validate({"name": name, **options})


def new_model(planted: Planted, seed: int, fusion: str = "concat") -> DiagnosisModel:
    """Build the network of a cohort, pretrained weights included."""
    torch.manual_seed(seed)
    settings = ModelSettings.model_validate({"width": 32, "fusion": fusion})
    weight = balanced_weights(planted.target[planted.parts["train"]], "binary")
    model = DiagnosisModel(settings, planted.inputs, CrossEntropy("binary", weight))
    for name, one in planted.inputs.items():
        one.initialise(model.encoders[name])
    return model


def learn(planted: Planted, model: DiagnosisModel, settings: TrainingSettings) -> DiagnosisModel:
    """Train as `medmm train` does."""
    way, size = settings.strategy, settings.batch_size
    group = planted.site if way.group_columns else None

    def training(epoch: Callable[[], int]) -> Batches:
        return TrainingBatches(
            planted.prepared,
            planted.parts["train"],
            planted.target,
            size,
            inputs=planted.inputs,
            seed=settings.seed,
            epoch=epoch,
            views=way.views,
            group=group,
            unlabelled=planted.parts["unlabelled"] if way.unlabelled else (),
            share=way.unlabelled,
            repeats=way.repeats,
        )

    validation = Batches(planted.prepared, planted.parts["validation"], planted.target, size, group=group)
    with tempfile.TemporaryDirectory() as temporary:
        objective = way.build(model, Situation(SITES if way.group_columns else ()))
        fit(objective, training, validation, settings, Path(temporary), lambda epoch, measures: None)
    return model


def loop(seed: int, way: StrategySettings, epochs: int, **changes: object) -> TrainingSettings:
    """Give the settings of a training, without a stop before its last epoch: the best is kept all the same."""
    given = {"epochs": epochs, "patience": epochs, "learning_rate": 2e-3, "batch_size": 32, "accelerator": "cpu", "seed": seed}
    return TrainingSettings.model_validate({**given, "strategy": way, **changes})


def said(planted: Planted, model: DiagnosisModel, part: str = "test") -> Scores:
    """Give what a model says of the studies of a part."""
    rows, every = planted.parts[part], frozenset(planted.inputs)
    logits = predict(model, Batches(planted.prepared, rows, None, 256), [every]).logits
    return scores_of(planted, rows, logits[every])


def scores_of(planted: Planted, rows: Sequence[int], logits: Array) -> Scores:
    """Put the truth beside logits (S, 1)."""
    probability = 1 / (1 + np.exp(-logits.astype(float)))
    site = np.array(SITES)[planted.site[rows]]
    return Scores(("sick",), probability, planted.truth[rows], planted.patient[rows], {"site": site})


def joined(scores: Iterable[Scores]) -> Scores:
    """Put the studies of several seeds together; each seed has patients of its own."""
    every = list(scores)
    before = np.cumsum([0, *(one.patient.max() + 1 for one in every)])
    return Scores(
        every[0].classes,
        np.concatenate([one.predicted for one in every]),
        np.concatenate([one.target for one in every]),
        np.concatenate([one.patient + first for one, first in zip(every, before, strict=False)]),
        {
            "site": np.concatenate([one.groups["site"] for one in every]),
            "seed": np.repeat(np.arange(len(every)), [len(one.patient) for one in every]),
        },
    )


def seeds_of(scores: Scores) -> Iterator[Scores]:
    """Give the scores of each seed."""
    for seed in np.unique(scores.groups["seed"]):
        yield scores.some(scores.groups["seed"] == seed)


def tuned(planted: Planted, way: StrategySettings) -> Planted:
    """Give the cohort with pretrained encoders tuned as a way to fine-tune wants it."""
    if way.tuning is None:
        return planted
    inputs = {name: one.settings.tuned(way.tuning).open(name, one.state) for name, one in planted.inputs.items()}
    return replace(planted, inputs=inputs)


Measure = Callable[[Scores, Array], Array]
"""Scores and (R, S) weights -> (R,) values."""


def over_seeds(measure: Measure) -> Measure:
    """Give the mean of a measure over the seeds."""

    def mean(scores: Scores, weights: Array) -> Array:
        keeps = [scores.groups["seed"] == seed for seed in np.unique(scores.groups["seed"])]
        return np.asarray(np.mean([measure(scores.some(keep), weights[:, keep]) for keep in keeps], axis=0))

    return mean


def area(scores: Scores, weights: Array) -> Array:
    """Give the AUROC."""
    return auroc(scores.predicted[:, 0], scores.target[:, 0], weights)


def of_sites(scores: Scores, weights: Array) -> Array:
    """Give the AUROC inside each site, (sites, R)."""
    keeps = [scores.groups["site"] == site for site in SITES]
    return np.stack([area(scores.some(keep), weights[:, keep]) for keep in keeps])


def worst_gap(scores: Scores, weights: Array) -> Array:
    """Give how far the AUROC inside the worst site lies below that of all studies together."""
    return np.asarray(area(scores, weights) - of_sites(scores, weights).min(0))
