"""What is known of training and validation studies and travels with a model, so that it can say of a new study how sure it is.

Two files of the package: arrays as safetensors, names and numbers as JSON. Both are checked as they are read, for a package may
come from elsewhere: shapes, kinds and ranges; nothing in them is code.

S studies, I inputs in alphabetical order, P parts (the joint representation, then the inputs), C answers, D width.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from safetensors.numpy import save

from medmm.cohort.target import TargetSettings
from medmm.errors import DataError
from medmm.evaluation.answers import Kind
from medmm.evaluation.conformal import Conformal, fit_conformal, questions
from medmm.evaluation.drift import DIRECTIONS, QUANTILES, SAMPLE, Drift, fit_drift
from medmm.evaluation.novelty import Embedded, Novelty, fit_novelty, whole
from medmm.evaluation.settings import EvaluationSettings
from medmm.evaluation.standing import Standing, pack_standing, standing_calibration, unpack_standing
from medmm.sealed import read_arrays
from medmm.settings import Plain
from medmm.types import CLASS_TASKS, Array, Scores, Task

NEIGHBOURS = 20_000
"""Training studies whose representation is kept at most: 128 numbers of two bytes each are 5 MB."""

NONE_LEFT = "every answer can be ruled out"
SEVERAL_LEFT = "several answers cannot be ruled out"

REPAIR = "package the run again"

KINDS = {
    "novelty/mean": ("float32", "PD"),
    "novelty/whiten": ("float32", "PDD"),
    "novelty/limit": ("float64", "P"),
    "novelty/threshold": ("float64", "1"),
    "drift/present_rate": ("float64", "I"),
    "drift/centre": ("float32", "PD"),
    "drift/direction": ("float32", "PDF"),
    "drift/embedding": ("float16", "SPF"),
    "drift/present": ("bool", "SI"),
    "drift/answers": ("float32", "SC"),
    "drift/patient": ("int64", "S"),
    "drift/answer_quantiles": ("float64", "CK"),
    "neighbours/joint": ("float16", "ND"),
    "neighbours/rows": ("int64", "N"),
    "neighbours/labels": ("float64", "NT"),
}
"""Array of a package -> its kind, and a letter an axis: the same letter is the same size."""

MOST = {"S": SAMPLE, "N": NEIGHBOURS}
BOUNDED = {"conformal/limits", "novelty/limit", "novelty/threshold"}
"""Not below 0, and infinite where there were too few patients."""

UNDEFINED = "novelty/whiten"
"""NaN for a part of which there were too few training studies."""

Cell: TypeAlias = float | bool | str | None


@dataclass(frozen=True)
class Neighbours:
    """Training studies, for "which known studies are like this one".

    Attributes:
        joint: (N, D) float16 representations.
        rows: (N,) number of each study in the table that was trained on.
        labels: (N, T) their targets.
    """

    joint: Array
    rows: Array
    labels: Array


@dataclass(frozen=True)
class References:
    """What travels with a model.

    Attributes:
        conformal: Which answers cannot be ruled out; None for a survival task.
        novelty: How unlike the training studies a study is.
        drift: What later studies are compared with.
        neighbours: Training studies by their representation.
        standing: What calibration and shares were on the validation studies; empty in a package of an older version.
    """

    conformal: Conformal | None
    novelty: Novelty
    drift: Drift
    neighbours: Neighbours
    standing: tuple[Standing, ...] = ()

    def columns(self, target: TargetSettings) -> dict[str, Kind]:
        """Give the columns of what is said of a study beside its answer, and their types."""
        columns: dict[str, Kind] = {}
        if self.conformal is not None:
            names = [f"set_{name}" for name in _options(target)]
            columns |= dict.fromkeys(names, "boolean") if names else {"set_low": "double", "set_high": "double"}
        columns |= dict.fromkeys(["novelty", *(f"novelty_{name}" for name in self.novelty.inputs)], "double")
        return columns | {"abstain": "boolean", "abstain_why": "string"}

    def cells(self, target: TargetSettings, answers: Array, said: Embedded) -> dict[str, list[Cell]]:
        """Give the cells (S,) of each column.

        A study gets no answer to rely on, `abstain`, where it is novel, or where a set holds none or several answers.

        Args:
            target: What is predicted.
            answers: (S, C) as they are given.
            said: What the model says of the same studies.
        """
        distance = self.novelty.of(said)  # (S, P)
        values = [whole(distance), *distance[:, 1:].T]
        if self.conformal is not None:
            if target.task == "regression":
                values = [*self.conformal.interval(answers).T, *values]
            else:
                values = [*self.conformal.sets(answers).reshape(len(answers), -1).T, *values]
        reasons = self.reasons(target, answers, distance)
        values += [np.array([why != "" for why in reasons], bool), np.array(reasons, object)]
        columns = self.columns(target)
        assert len(columns) == len(values)
        return {name: _without_nan(one.tolist()) for name, one in zip(columns, values, strict=True)}

    def reasons(self, target: TargetSettings, answers: Array, distance: Array) -> list[str]:
        """Say for each study why no answer should be relied on; "" where one may be."""
        found: list[list[str]] = [[] for _ in answers]
        for study, part in np.argwhere(self.novelty.beyond(distance)):
            found[study].append(f"novel {self.novelty.parts[part]}")
        if self.conformal is not None and target.task != "regression":
            sizes = self.conformal.sets(answers).sum(axis=2)  # (S, Q)
            names = [name for name, _ in questions(target)]
            for study, question in np.argwhere(sizes != 1):
                of = f" of {names[question]}" if len(names) > 1 else ""
                found[study].append(f"{NONE_LEFT if sizes[study, question] == 0 else SEVERAL_LEFT}{of}")
        return ["; ".join(one) for one in found]


def fit_references(
    settings: EvaluationSettings,
    task: Task,
    train: Embedded,
    validation: Embedded,
    chosen: Scores,
    taught: Sequence[int],
    label: Array,
    seed: int = 0,
) -> References:
    """Fit everything that travels with a model.

    Args:
        settings: Of the evaluation.
        task: What is predicted.
        train: What the model says of the N training studies.
        validation: Of the S validation studies.
        chosen: Scores of the validation studies, the answers as they are given.
        taught: (N,) row of each training study in its table.
        label: (N, T) target of each training study.
        seed: Of what is drawn.
    """
    kept = np.arange(len(taught))
    if len(kept) > NEIGHBOURS:
        kept = np.sort(np.random.default_rng(seed).choice(kept, NEIGHBOURS, replace=False))
    most = float(np.finfo(np.float16).max)
    neighbours = Neighbours(
        train.joint[kept].clip(-most, most).astype(np.float16),
        np.asarray(taught, np.int64)[kept],
        np.asarray(label, np.float64)[kept],
    )
    return References(
        fit_conformal(chosen, task, settings.conformal_level, by_class=settings.conformal_by_class),
        fit_novelty(train, validation, chosen.patient),
        fit_drift(train, validation, chosen.predicted, chosen.patient, seed),
        neighbours,
        standing_calibration(chosen, task),
    )


def pack(references: References | None) -> tuple[bytes, Plain]:
    """Give the content of the two files; both empty where there are no references."""
    if references is None:
        return save({}), None
    parts = {"novelty": references.novelty, "drift": references.drift, "neighbours": references.neighbours}
    arrays = {
        f"{part}/{name}": np.ascontiguousarray(value)
        for part, one in parts.items()
        for name, value in vars(one).items()
        if isinstance(value, np.ndarray)
    }
    arrays["novelty/threshold"] = np.array([references.novelty.threshold])  # JSON has no infinity
    plain: Plain = {
        "inputs": list(references.novelty.inputs),
        "conformal": None,
        "standing": pack_standing(references.standing),
    }
    if references.conformal is not None:
        arrays["conformal/limits"] = references.conformal.limits
        facts = ("level", "by_class", "studies", "patients")
        plain["conformal"] = {name: getattr(references.conformal, name) for name in facts}
    return save(arrays), plain


def unpack(content: bytes, plain: Plain, inputs: Sequence[str], target: TargetSettings, width: int) -> References | None:
    """Give the references in the content of the two files.

    Args:
        content: Of the arrays.
        plain: Of the JSON.
        inputs: Of the package.
        target: Of the package.
        width: D of its network.

    Raises:
        DataError: They are not what `pack` gives for such a model.
    """
    arrays = read_arrays(content, "the references of the package", REPAIR)
    if plain is None and not arrays:
        return None
    names = tuple(sorted(inputs))
    if not isinstance(plain, dict) or plain.get("inputs") != list(names):
        raise DataError(f"the references of the package are not of its inputs: {REPAIR}")
    own = {**KINDS, **({} if target.task == "survival" else {"conformal/limits": ("float64", "QM")})}
    if set(arrays) != set(own):
        raise DataError(f"the references of the package lack arrays or have others: {REPAIR}")
    _check_shapes(arrays, own, _sizes(target, len(names), width))
    _check_values(arrays)

    def part(name: str) -> dict[str, Array]:
        return {key.partition("/")[2]: value for key, value in arrays.items() if key.startswith(f"{name}/")}

    threshold = float(arrays.pop("novelty/threshold")[0])
    return References(
        _conformal(plain.get("conformal"), arrays, target),
        Novelty(inputs=names, **part("novelty"), threshold=threshold),
        Drift(inputs=names, **part("drift")),
        Neighbours(**part("neighbours")),
        unpack_standing(plain.get("standing"), target.names, REPAIR),
    )


def _conformal(facts: Plain, arrays: Mapping[str, Array], target: TargetSettings) -> Conformal | None:
    if target.task == "survival":
        return None
    kinds = {"level": float, "by_class": bool, "studies": int, "patients": int}
    if not isinstance(facts, dict) or set(facts) != set(kinds) or any(type(facts[k]) is not kinds[k] for k in kinds):
        raise DataError(f"what the package says of its conformal sets is damaged: {REPAIR}")
    if not 0 < facts["level"] < 1:
        raise DataError(f"the package has a conformal level that is none: {REPAIR}")
    return Conformal(task=target.task, limits=arrays["conformal/limits"], **facts)


def _sizes(target: TargetSettings, inputs: int, width: int) -> dict[str, int]:
    """Give what the letters of `KINDS` stand for, as far as the package tells."""
    answers = len(target.names)
    options = [len(some) for _, some in questions(target)] if target.task in CLASS_TASKS else [1]
    truth = 2 if target.task == "survival" else answers
    known = {"I": inputs, "P": inputs + 1, "D": width, "F": DIRECTIONS, "C": answers, "T": truth, "1": 1}
    return {**known, "K": len(QUANTILES), "Q": len(options), "M": options[0]}


def _check_shapes(arrays: Mapping[str, Array], kinds: Mapping[str, tuple[str, str]], known: Mapping[str, int]) -> None:
    sizes = dict(known)
    for name, (kind, letters) in kinds.items():
        array = arrays[name]
        if array.dtype != kind or array.ndim != len(letters):
            raise DataError(
                f"{name} of the references is {array.dtype} of {array.ndim} axes, expected {kind} of {len(letters)}: {REPAIR}"
            )
        for letter, size in zip(letters, array.shape, strict=True):
            if sizes.setdefault(letter, size) != size:
                raise DataError(f"{name} of the references has shape {array.shape}, which does not fit the model: {REPAIR}")
    for letter, most in MOST.items():
        if sizes[letter] > most:
            raise DataError(f"the references hold {sizes[letter]} studies, {most} at most are expected: {REPAIR}")


def _check_values(arrays: Mapping[str, Array]) -> None:
    for name, array in arrays.items():
        sound = np.isfinite(array)
        if name in BOUNDED:
            sound = array >= 0  # NaN is not
        elif name == UNDEFINED:
            sound |= np.isnan(array)
        if not sound.all():
            raise DataError(f"{name} of the references holds impossible values: {REPAIR}")


def _options(target: TargetSettings) -> list[str]:
    return [name for _, some in questions(target) for name in some] if target.task in CLASS_TASKS else []


def _without_nan(cells: list[Cell]) -> list[Cell]:
    return [None if isinstance(cell, float) and math.isnan(cell) else cell for cell in cells]
