"""What one method says of one test fold: trained, or read again where an interrupted comparison had it already.

Letters: S studies of the test fold, C answers.
"""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from medmm.baselines import BASELINES, baseline
from medmm.evaluation.intervals import interval
from medmm.evaluation.prior import prior
from medmm.evaluation.yardstick import YARDSTICKS
from medmm.files import write_bytes
from medmm.fusion.base import FusionSettings
from medmm.training.strategies.base import StrategySettings
from medmm.training.tracking import Record
from medmm.types import Array, Scores

from .cohort import Cohort
from .fine_tuning import fine_tuned
from .learn import Learned, Tell, join, learn, make_scores
from .report import number
from .screen import Screen


@dataclass(frozen=True)
class Method:
    """One way to a diagnosis.

    Attributes:
        name: As it is called everywhere.
        kind: A fusion of all inputs, a network on one input, or a classical model on one input.
        input: The only one it takes; "" for a fusion.
        fusion: Its settings; None where it is none.
        strategy: The way to fine-tune; None for that of the run.
    """

    name: str
    kind: Literal["fusion", "single", "baseline"]
    input: str = ""
    fusion: FusionSettings | None = None
    strategy: StrategySettings | None = None


@dataclass(frozen=True)
class Cell:
    """What one method says of the test studies of one fold.

    Attributes:
        rows: (S,) index of each study.
        predicted: (S, C) answers; what the training studies say as a whole where the method lacks its input.
        covers: (S,) whether it had its input.
    """

    rows: Array
    predicted: Array
    covers: Array

    def of(self, rows: Array) -> tuple[Array, Array]:
        """Give (R, C) answers to some of its studies, and (R,) whether the method had its input."""
        order = np.argsort(self.rows)
        place = order[np.searchsorted(self.rows, rows, sorter=order)]
        return self.predicted[place], self.covers[place]

    def save(self, path: Path) -> None:
        """Write it whole or not at all."""
        buffer = io.BytesIO()
        np.savez(buffer, rows=self.rows, predicted=self.predicted, covers=self.covers)
        write_bytes(path, buffer.getvalue())


def read_cell(path: Path) -> Cell | None:
    """Give a cell that was saved; None where there is none."""
    if not path.is_file():
        return None
    with np.load(path, allow_pickle=False) as saved:
        return Cell(saved["rows"], saved["predicted"], saved["covers"])


@dataclass
class Fold:
    """The trainings of one fold; a single input is trained once, though late fusion needs it too.

    Attributes:
        cohort: Divided for the fold.
        checkpoints: Gives the folder of a method's training, another one for every other setting of it.
        screen: Shows progress.
        singles: Folder of its checkpoints -> the model that was trained on one input alone.
    """

    cohort: Cohort
    checkpoints: Callable[[Method], Path]
    screen: Screen
    singles: dict[Path, Learned] = field(default_factory=dict)

    def cell(self, method: Method, record: Record, title: str) -> Cell:
        """Train a method and let it speak of the test studies."""
        rows = np.array(self.cohort.split["test"])
        if method.kind == "baseline":
            asked, said = self._baseline(method.input)
        else:
            learned = self.learned(method, record, title)
            asked, said = learned.rows, learned.test[frozenset(learned.package.inputs)].predicted
        known = prior(self.cohort.config.target, self.cohort.target[list(self.cohort.split["train"])])
        predicted = np.tile(known, (len(rows), 1))
        covers = np.isin(rows, asked)
        place = {int(row): i for i, row in enumerate(asked)}
        predicted[covers] = said[[place[int(row)] for row in rows[covers]]]
        cell = Cell(rows, predicted, covers)
        self._log(cell, record)
        return cell

    def learned(self, method: Method, record: Record, title: str) -> Learned:
        """Train a network, unless it is that of a single input which was trained before."""
        return self._fusion(method, record, title) if method.kind == "fusion" else self._single(method, record.measures, title)

    def _single(self, method: Method, tell: Tell, title: str) -> Learned:
        place = self.checkpoints(method)
        if place not in self.singles:
            cohort = fine_tuned(self.cohort, method.strategy).only(method.input)
            self.singles[place] = learn(cohort, tell, self.screen, title, place, decides=False)
        return self.singles[place]

    def _fusion(self, method: Method, record: Record, title: str) -> Learned:
        assert method.fusion is not None
        model = self.cohort.config.model.model_copy(update={"fusion": method.fusion})
        cohort = replace(self.cohort, config=self.cohort.config.model_copy(update={"model": model}))
        cohort = fine_tuned(cohort, method.strategy)
        if not (method.fusion.apart and len(cohort.inputs) > 1):
            return learn(cohort, record.measures, self.screen, title, self.checkpoints(method), decides=False)
        singles: dict[str, Learned] = {}
        for name in cohort.inputs:

            def tell(measures: Mapping[str, float], epoch: int, name: str = name) -> None:
                record.measures({f"{name}/{measure}": value for measure, value in measures.items()}, epoch)

            singles[name] = self._single(single(name, method.strategy), tell, f"{title} ({name})")
        return join(cohort, singles, self.screen, decides=False)

    def _baseline(self, name: str) -> tuple[Array, Array]:
        only = self.cohort.only(name)
        known = (*only.split["train"], *only.split["validation"])
        if not known or not only.split["test"]:
            return np.empty(0, np.int64), np.empty((0, len(only.config.target.names)))
        said = baseline(
            only.inputs[name],
            only.studies,
            only.prepared[name],
            only.target,
            known,
            only.split["test"],
            only.config.target.task,
            only.config.training.seed,
        )
        return np.array(only.split["test"], np.int64), said

    def _log(self, cell: Cell, record: Record) -> None:
        scores: Scores = make_scores(self.cohort, tuple(cell.rows.tolist()), cell.predicted)
        yardstick, resamples = YARDSTICKS[self.cohort.config.target.task], self.cohort.config.evaluation.resamples
        estimate = number(
            interval(partial(yardstick.of, scores), scores.patient, resamples, rests_on=yardstick.rests_on(scores))
        )
        whole = f"test/{yardstick.metric}"
        values = {
            whole if name == "value" else f"{whole}_{name}": value for name, value in estimate.items() if value is not None
        }
        record.measures({name: float(str(value)) for name, value in values.items()})


def single(name: str, strategy: StrategySettings | None = None) -> Method:
    """Name the network on one input."""
    return Method(f"{name} alone", "single", name, strategy=strategy)


def methods_of(
    cohort_inputs: Mapping[str, str],
    fusions: Sequence[FusionSettings],
    *,
    baselines: bool,
    strategies: Sequence[StrategySettings] = (),
) -> tuple[Method, ...]:
    """Name all methods: single inputs, their classical rivals, the fusions, each of them once, then ways to fine-tune.

    Args:
        cohort_inputs: Input -> its kind.
        fusions: The run's own first; another of its name takes part only with settings of its own.
        baselines: Whether classical rivals take part.
        strategies: Ways to fine-tune with the run's own fusion, beside the run's own way.
    """
    methods = [single(name) for name in cohort_inputs]
    if baselines:
        methods += [
            Method(f"{name}, {BASELINES[kind]}", "baseline", name) for name, kind in cohort_inputs.items() if kind in BASELINES
        ]
    own, *others = fusions
    known: list[FusionSettings] = []
    for fusion in [own, *(one for one in others if one.name != own.name or one.model_fields_set > {"name"})]:
        if fusion not in known:
            again = sum(one.name == fusion.name for one in known)
            known.append(fusion)
            methods.append(Method(fusion.name + (f" {again + 1}" if again else ""), "fusion", fusion=fusion))
    tried: list[StrategySettings] = []
    for strategy in (one for i, one in enumerate(strategies) if one not in strategies[:i]):
        again = sum(one.name == strategy.name for one in tried)
        tried.append(strategy)
        name = f"{own.name}, {strategy.name}" + (f" {again + 1}" if again else "")
        methods.append(Method(name, "fusion", fusion=own, strategy=strategy))
    return tuple(methods)
