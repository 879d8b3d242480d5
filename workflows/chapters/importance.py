"""How much each input weighs in the answers: exchanged between patients, and as its share of each answer."""

import numpy as np
import pandas as pd

from medmm.evaluation.chapter import Chapter
from medmm.evaluation.importance_plot import Rows, importance_plot
from medmm.evaluation.intervals import Estimate, sample_and_resamples, summarise
from medmm.evaluation.metrics import share
from medmm.evaluation.prior import prior
from medmm.evaluation.shapley import EXACT_UP_TO, ORDERS, SCALES, coalitions, contributions
from medmm.evaluation.shuffling import DRAWS, exchange
from medmm.evaluation.subgroups import MINIMUM
from medmm.evaluation.yardstick import YARDSTICKS
from medmm.types import Array, Tokens

from ..encoded import Encoded, by_the_model_alone, draw_patients, encode
from ..screen import Screen, with_interval
from ..subject import Subject

TITLE = "Which input the answers rest on"

EXCHANGED_STUDIES = 4000
"""Most test studies whose inputs are exchanged, whole patients: their tokens are held in memory."""


def importance(subject: Subject, screen: Screen) -> Chapter:
    """Give what is lost when an input is another patient's, and the mean share of each input in an answer."""
    drops, notes = _exchanged(subject, screen)
    measures = {f"exchanged_{name}": one for name, one in drops.items()}
    tables: dict[str, pd.DataFrame] = {}
    yardstick, task = YARDSTICKS[subject.config.target.task], subject.config.target.task
    says = [
        f"With {name} of another patient in its place, mean of {DRAWS} draws, the {yardstick.label} falls by "
        f"{with_interval(one)} on the {one.studies} studies of {one.patients} patients that have it, paired by patient."
        for name, one in drops.items()
    ]
    says += notes
    panels: list[tuple[str, str, Rows]] = []
    if drops:
        panels.append(("Of another patient", f"Fall of {yardstick.label}", list(drops.items())))
    nothing = known_prior(subject)
    if nothing is None:
        says.append(
            "What is said of a study of which nothing is known is not in this package, so no share of an input in an answer "
            "can be given: train it anew with this version."
        )
    else:
        sizes, tables["contributions"], exact = _shares(subject, nothing)
        for name in [name for name, one in sizes.items() if one.patients < MINIMUM]:
            few = sizes.pop(name).patients
            says.append(
                f"{name} has no mean share in an answer: not enough data, {few} patients have it, {MINIMUM} are needed."
            )
        measures |= {f"shapley_{name}": one for name, one in sizes.items()}
        how = f"exact over every subset of up to {EXACT_UP_TO} inputs" if exact else f"over {2 * ORDERS} drawn orders"
        says += [
            f"{name} moves an answer by {with_interval(one)} in {SCALES[task]} on average, up or down (Shapley value, {how}), "
            f"on the {one.studies} studies of {one.patients} patients that have it."
            for name, one in sizes.items()
        ]
        if sizes:
            panels.append(("Share in an answer", f"Mean size, {SCALES[task]}", list(sizes.items())))
    columns = ("measure", "value", "low", "high", "studies", "patients")
    cells = [(name, one.value, one.low, one.high, one.studies, one.patients) for name, one in measures.items()]
    tables["inputs"] = pd.DataFrame(cells, columns=columns)
    figures = {"inputs": importance_plot(panels)} if panels else {}
    return Chapter("importance", TITLE, (*says, *by_the_model_alone(subject)), measures, tables, figures)


def known_prior(subject: Subject) -> Array | None:
    """Give what is said (C,) of a study of which nothing is known, by the training studies; None where the package lacks it."""
    told = subject.package.facts.get("prior")
    if told is not None:
        return np.array(told, np.float64)
    if "train" in subject.parts and len(subject.parts["train"].rows):
        return prior(subject.config.target, subject.parts["train"].scores.target)
    return None


def _exchanged(subject: Subject, screen: Screen) -> tuple[dict[str, Estimate], list[str]]:
    """Give input -> fall of the headline while it is exchanged between patients, and why others have none."""
    drops: dict[str, Estimate] = {}
    notes: list[str] = []
    yardstick, resamples = YARDSTICKS[subject.config.target.task], subject.config.evaluation.resamples
    all_of_them = encode(subject, draw_patients(subject.test.scores.patient, EXCHANGED_STUDIES))
    with screen.step("exchanging inputs between patients") as step:
        for done, name in enumerate(subject.inputs):
            own = all_of_them.some(np.flatnonzero(all_of_them.has(name)))
            few = yardstick.rests_on(own.scores) if len(own.rows) else 0
            if few < MINIMUM:
                notes.append(
                    f"{name} was not exchanged: not enough data, {few} patients who have it have {yardstick.counted}, "
                    f"{MINIMUM} are needed."
                )
            elif exchange(own.scores.patient, 0) is None:
                notes.append(f"{name} was not exchanged: more than half of the studies that have it are of one patient.")
            else:
                weights = sample_and_resamples(own.scores.patient, resamples, 0)
                exchanged = [yardstick.of(own.with_input(name, _lent(own, name, seed)), weights) for seed in range(DRAWS)]
                fall = yardstick.of(own.scores, weights) - np.mean(exchanged, axis=0)
                drops[name] = summarise(fall, own.scores.patient, rests_on=few)
            step(done + 1, len(subject.inputs), name)
    return drops, notes


def _lent(own: Encoded, name: str, seed: int) -> Tokens:
    lender = exchange(own.scores.patient, seed)
    assert lender is not None
    tokens = own.tokens[name]
    return Tokens(tokens.values[lender], tokens.mask[lender])


def _shares(subject: Subject, nothing: Array) -> tuple[dict[str, Estimate], pd.DataFrame, bool]:
    """Give input -> mean size of its share in an answer, the shares of each study, and whether they are exact."""
    test, task, classes = subject.test, subject.config.target.task, subject.test.scores.classes
    only = {some: scores.predicted for some, scores in test.only.items()}
    values = coalitions(only, test.present, nothing, task)
    shares, exact = contributions(values)
    weights = sample_and_resamples(test.scores.patient, subject.config.evaluation.resamples, 0)
    sizes: dict[str, Estimate] = {}
    for column, (name, own) in enumerate(shares.items()):
        has = test.present[:, column]
        if has.any():
            sizes[name] = summarise(share(np.abs(own[has]).mean(axis=1), weights[:, has]), test.scores.patient[has])
    rows = [subject.studies[i].row for i in test.rows]
    table = pd.concat(
        pd.DataFrame(
            {
                "row": rows,
                "class": name,
                "nothing known": values[frozenset()][:, column],
                **{source: own[:, column] for source, own in shares.items()},
                "all inputs": values[frozenset(subject.inputs)][:, column],
            }
        )
        for column, name in enumerate(classes)
    )
    return sizes, table, exact
