"""What is left of a model when inputs are missing: every subset of the inputs, on the studies that have them."""

from functools import partial

import numpy as np
import pandas as pd

from medmm.evaluation.chapter import Chapter
from medmm.evaluation.evaluate import compare
from medmm.evaluation.forest import JOINED, inputs_plot
from medmm.evaluation.intervals import Estimate, interval
from medmm.evaluation.subgroups import MINIMUM
from medmm.evaluation.yardstick import YARDSTICKS
from medmm.predict import Subset

from ..encoded import by_the_model_alone
from ..screen import Screen, with_interval
from ..subject import Subject

TITLE = "Missing inputs"


def missing_inputs(subject: Subject, screen: Screen) -> Chapter:
    """Give the headline of each subset on the studies that have all of it, and what is lost against all that they have."""
    names, config, test = subject.inputs, subject.config, subject.test
    task, resamples = config.target.task, config.evaluation.resamples
    yardstick = YARDSTICKS[task]
    if len(names) < 2:
        return Chapter("missing_inputs", TITLE, (f"The model has one input, {names[0]}: without it there is no answer.",))
    measures: dict[str, Estimate] = {}
    rows: list[dict[str, object]] = []
    bars: list[tuple[str, Estimate]] = []
    losses: dict[Subset, Estimate] = {}
    short: list[str] = []
    everything = frozenset(names)
    for some, alone in test.only.items():
        label = JOINED.join(sorted(some))
        whole = some == everything
        columns = [names.index(name) for name in sorted(some)]
        has = np.ones(len(test.rows), bool) if whole else np.all(test.present[:, columns], axis=1)
        own = alone.some(has)
        few = yardstick.rests_on(own)
        if few < MINIMUM:
            why = f"not enough data: {few} patients have {yardstick.counted}, {MINIMUM} are needed"
            short.append(f"{label} ({few})")
            rows.append({"inputs": label, "studies": int(has.sum()), "patients": len(np.unique(own.patient)), "note": why})
            continue
        headline = interval(partial(yardstick.of, own), own.patient, resamples, rests_on=few)
        measures["-".join(sorted(some))] = headline
        bars.append((label, headline))
        row = {"inputs": label, yardstick.metric: headline.value, "low": headline.low, "high": headline.high}
        if not whole:
            lost = losses[some] = compare(test.raw.some(has), own, task, resamples)
            measures[f"lost_{'-'.join(sorted(some))}"] = lost
            row |= {"lost": lost.value, "lost_low": lost.low, "lost_high": lost.high}
        note = "whatever of them a study has" if whole else ""
        rows.append({**row, "studies": headline.studies, "patients": headline.patients, "note": note})
    says = list(_sentences(measures, losses, names, yardstick.label))
    if short:
        says.append(f"Not enough data, {MINIMUM} patients who have {yardstick.counted} are needed, for: {', '.join(short)}.")
    figures = {"inputs": inputs_plot(bars, yardstick)} if bars else {}
    return Chapter(
        "missing_inputs", TITLE, (*says, *by_the_model_alone(subject)), measures, {"subsets": pd.DataFrame(rows)}, figures
    )


def _sentences(measures: dict[str, Estimate], losses: dict[Subset, Estimate], names: list[str], label: str) -> list[str]:
    says = []
    if whole := measures.get("-".join(names)):
        says.append(
            f"With whatever inputs a study has, the {label} is {with_interval(whole)} on {whole.studies} studies of "
            f"{whole.patients} patients."
        )
    if not losses:
        return says
    for size, what in ((len(names) - 1, "one input hidden"), (1, "one input alone")):
        own = {some: one for some, one in losses.items() if len(some) == size}
        if own and (size > 1 or what.endswith("alone")):
            some, worst = max(own.items(), key=lambda item: np.nan_to_num(item[1].value, nan=-np.inf))
            here = measures["-".join(sorted(some))]
            says.append(
                f"With {what} the most is lost with only {JOINED.join(sorted(some))} left: {label} {with_interval(here)}, "
                f"{with_interval(worst)} lower than with all that the same {worst.studies} studies of {worst.patients} "
                "patients have, paired by patient."
            )
    harmed = [JOINED.join(sorted(some)) for some, one in losses.items() if one.high < 0]
    if harmed:
        says.append(f"Hiding inputs raises the {label}, its interval above 0, with only these left: {'; '.join(harmed)}.")
    return says
