"""`medmm compare`: is fusion worth it? Every method on the same folds of patients; goes on where it was broken off.

Letters: S studies, C answers.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from medmm import __version__
from medmm.baselines import RIVALLED
from medmm.cohort.manifest import patient_numbers
from medmm.cohort.split import SplitSettings
from medmm.cohort.studies import Sources
from medmm.config import RunConfig
from medmm.dataset.cache import evidence_digests
from medmm.errors import ConfigError
from medmm.evaluation.paired import Rated
from medmm.evaluation.yardstick import YARDSTICKS
from medmm.files import digest, digest_file, write_json
from medmm.training.tracking import Record, connect, flat, open_record
from medmm.types import Array, Scores

from .cells import Cell, Fold, Method, methods_of, read_cell
from .cohort import Intake, divide, open_export, settle, share_out
from .comparison import Comparison, judge_methods, log_comparison
from .fine_tuning import refuse_idle_strategy
from .screen import Screen
from .train import shown_settings

if TYPE_CHECKING:
    from mlflow import MlflowClient

STATE = "run.json"
FORMAT = 2  # of a cell; another number makes every cell be trained anew


@dataclass(frozen=True)
class Part:
    """One fold of one seed.

    Attributes:
        seed: Of folds and weights.
        fold: Number of the fold, from 0.
        config: The run for it.
    """

    seed: int
    fold: int
    config: RunConfig

    @property
    def name(self) -> str:
        """How it is called."""
        return f"seed {self.seed}, fold {self.fold + 1}"


@dataclass(frozen=True)
class Compared:
    """What a comparison gave.

    Attributes:
        comparison: Every method, and the verdict.
        run_page: The page of the parent run below the address of the UI.
    """

    comparison: Comparison
    run_page: str


@dataclass(frozen=True)
class _Bench:
    """What all trainings of a comparison share; `sides` has a digest of which study is on which side, for each part."""

    config: RunConfig
    sources: Sources
    intake: Intake
    methods: Sequence[Method]
    parts: Sequence[Part]
    sides: Mapping[str, str]
    folder: Path

    def key(self, part: Part, method: Method) -> str:
        """Give what names a training: it is another one wherever its split or a setting of its method is."""
        settings = None if method.fusion is None else method.fusion.model_dump(mode="json")
        strategy = None if method.strategy is None else method.strategy.model_dump(mode="json")
        return digest([part.seed, self.sides[part.name], method.kind, method.input, settings, strategy])[:32]

    def path(self, part: Part, method: Method) -> Path:
        """Tell where the cell of a method lies."""
        return self.folder / "cells" / f"{self.key(part, method)}.npz"


def compare(config: RunConfig, screen: Screen, *, fresh: bool = False) -> Compared:
    """Train single inputs, classical models and fusions on the same folds, and say whether fusion is worth it.

    What an earlier or interrupted comparison of the same run file and data has trained is not trained again.

    Args:
        config: The run file.
        screen: Shows progress.
        fresh: Begin anew all the same.

    Raises:
        MedmmError: Something that the user can repair.
        KeyboardInterrupt: Interrupted; the next call goes on.
    """
    if len(config.inputs) < 2:
        raise ConfigError("the run file has one input, so there is nothing to fuse: add another, or use `medmm train`")
    client = connect(config.tracking)
    bench = _set_up(config, screen)
    config = bench.config
    if fresh:
        shutil.rmtree(bench.folder, ignore_errors=True)
    cells = {(part.name, method.name): bench.path(part, method) for part in bench.parts for method in bench.methods}
    ready = sum(path.is_file() for path in cells.values())
    screen.say(
        f"{len(bench.methods)} methods on {len(bench.parts)} folds: {len(cells)} trainings"
        + (f", of which {ready} were done before (--fresh trains them again)" if ready else "")
    )
    tracking = config.tracking.model_copy(update={"experiment": config.tracking.experiment or config.name})
    settings = shown_settings(config)
    asked = digest([settings["compare"], settings["evaluation"]])
    with open_record(client, tracking, "comparison", resume=_earlier_run(bench.folder, asked, client)) as record:
        write_json(bench.folder / STATE, {"run_id": record.run_id, "asked": asked})
        record.parameters(flat(settings))
        record.document(settings, "config.json")
        found = _train(bench, client, record, screen)
        rated = _rated(bench, found)
        screen.say("comparing ...")
        comparison = judge_methods(config, bench.methods, rated, _blocks(bench, found))
        log_comparison(record, config, comparison)
    return Compared(comparison, record.address())


def parts_of(config: RunConfig) -> tuple[Part, ...]:
    """Give every fold of every seed; a split by time or column has one part a seed, as it stands."""
    parts: list[Part] = []
    for seed in config.compare.seeds:
        training = config.training.model_copy(update={"seed": seed})
        folds = config.compare.folds if config.split.by in {"patient", "group"} else None
        for fold in range(folds or 1):
            told = {**config.split.model_dump(), **({"seed": seed, "folds": folds, "fold": fold} if folds else {})}
            split = SplitSettings.model_validate(told)
            parts.append(Part(seed, fold, config.model_copy(update={"split": split, "training": training})))
    return tuple(parts)


def _set_up(config: RunConfig, screen: Screen) -> _Bench:
    ways = config.compare.strategies
    sources, intake = open_export(config, screen, unlabelled=any(one.unlabelled for one in ways))
    sides = {part.name: share_out(part.config, intake.studies, intake.left_out)[0] for part in parts_of(config)}
    first = next(iter(sides.values()))
    learning = {intake.studies[i].patient_id for i, side in first.items() if side == "train"}
    config = settle(config, len(learning), screen)  # once, so that no fold has other networks than the next
    for strategy in (config.training.strategy, *ways):
        refuse_idle_strategy(config.model_copy(update={"training": config.training.model_copy(update={"strategy": strategy})}))
    kinds = {name: one.kind for name, one in config.inputs.items()}
    fusions = [config.model.fusion, *config.compare.methods]
    rivals = config.compare.baselines and config.target.task in RIVALLED
    if config.compare.baselines and not rivals:
        screen.say(f"a {config.target.task} task has no classical rival here: networks are compared with each other")
    methods = methods_of(kinds, fusions, baselines=rivals, strategies=ways)
    folder = config.folder / "compare" / _fingerprint(config, intake)[:32]
    digests = {name: digest(sorted(of_part.items())) for name, of_part in sides.items()}
    return _Bench(config, sources, intake, methods, parts_of(config), digests, folder)


def _fingerprint(config: RunConfig, intake: Intake) -> str:
    """Give one digest of all that every training depends on; what only some depend on stands in the keys of the cells."""
    kept = {"compare", "evaluation", "output", "split", "tracking"}
    settings = config.model_dump(mode="json", exclude={**dict.fromkeys(kept, True), "cohort": {"root"}})
    evidence = {
        name: list(intake.images[name].digests) if name in intake.images else evidence_digests(intake.studies, name)
        for name in config.inputs
    }
    weights = [digest_file(path) for one in config.inputs.values() for path in one.encoder.files() if path.is_file()]
    numbers = patient_numbers(intake.studies)
    studies = [[n, str(study.time), study.label] for n, study in zip(numbers, intake.studies, strict=True)]
    return digest([FORMAT, __version__, settings, evidence, weights, studies, intake.unlabelled])


def _earlier_run(folder: Path, asked: str, client: "MlflowClient") -> str | None:
    """Give the run of the very same comparison, where the store still has it."""
    from mlflow.exceptions import MlflowException

    if not (folder / STATE).is_file():
        return None
    state = json.loads((folder / STATE).read_text())
    if state["asked"] != asked:
        return None
    try:
        run = client.get_run(str(state["run_id"]))
    except MlflowException:
        return None
    return str(state["run_id"]) if run.info.lifecycle_stage == "active" else None


def _train(bench: _Bench, client: "MlflowClient", record: Record, screen: Screen) -> dict[tuple[str, str], Cell]:
    """Give the cell of every method in every part, trained where it is not there yet."""
    found: dict[tuple[str, str], Cell] = {}
    whole = len(bench.parts) * len(bench.methods)
    for number, part in enumerate(bench.parts):
        known = {method.name: read_cell(bench.path(part, method)) for method in bench.methods}
        fold: Fold | None = None
        checkpoints = bench.folder / "checkpoints"
        for place, method in enumerate(bench.methods):
            cell = known[method.name]
            if cell is None:
                if fold is None:
                    screen.say(f"{part.name} of {len(bench.parts) // len(bench.config.compare.seeds)}")
                    cohort = divide(part.config, bench.sources, bench.intake, screen, labels=number == 0)
                    fold = Fold(cohort, partial(_checkpoint, bench, part), screen)
                title = f"{number * len(bench.methods) + place + 1}/{whole} {method.name}"
                with open_record(client, bench.config.tracking, f"{method.name}, {part.name}", parent=record) as child:
                    child.tags({"method": method.name, "kind": method.kind})
                    child.parameters({"method": method.name, "kind": method.kind, "seed": part.seed, "fold": part.fold + 1})
                    cell = fold.cell(method, child, title)
                cell.save(bench.path(part, method))
            found[part.name, method.name] = cell
        shutil.rmtree(checkpoints, ignore_errors=True)
    return found


def _checkpoint(bench: _Bench, part: Part, method: Method) -> Path:
    return bench.folder / "checkpoints" / bench.key(part, method)


def _rated(bench: _Bench, cells: Mapping[tuple[str, str], Cell]) -> tuple[Rated, ...]:
    """Put the folds of each seed together: what each method says of the studies of which all were asked, in every seed."""
    seeds = tuple(dict.fromkeys(bench.config.compare.seeds))
    asked = {part.name: _asked(bench, cells, part) for part in bench.parts}
    of_seed = [set().union(*(asked[part.name] for part in bench.parts if part.seed == seed)) for seed in seeds]
    rows = np.array(sorted(set.intersection(*of_seed)), np.int64)
    rated: list[Rated] = []
    for method in bench.methods:
        scores: list[Scores] = []
        folds: list[Array] = []
        covers = np.ones(len(rows), bool)
        for seed in seeds:
            predicted = np.full((len(rows), len(bench.config.target.names)), np.nan)
            fold = np.zeros(len(rows), np.int64)
            for part in bench.parts:
                if part.seed == seed:
                    here = np.isin(rows, list(asked[part.name]))
                    predicted[here], covers[here] = cells[part.name, method.name].of(rows[here])
                    fold[here] = part.fold
            scores.append(_scores(bench, rows, predicted))
            folds.append(fold)
        yardstick = YARDSTICKS[bench.config.target.task]
        rated.append(Rated(method.name, tuple(scores), covers, tuple(folds), yardstick))
    return tuple(rated)


def _asked(bench: _Bench, cells: Mapping[tuple[str, str], Cell], part: Part) -> set[int]:
    """Give the studies of a part of which every method was asked."""
    return set.intersection(*(set(cells[part.name, method.name].rows.tolist()) for method in bench.methods))


def _blocks(bench: _Bench, cells: Mapping[tuple[str, str], Cell]) -> Array:
    """Give the headline of each method in each part, (parts, methods); NaN where none is defined."""
    yardstick = YARDSTICKS[bench.config.target.task]
    table = np.full((len(bench.parts), len(bench.methods)), np.nan)
    for i, part in enumerate(bench.parts):
        rows = np.array(sorted(_asked(bench, cells, part)), np.int64)
        for k, method in enumerate(bench.methods):
            scores = _scores(bench, rows, cells[part.name, method.name].of(rows)[0])
            table[i, k] = yardstick.of(scores, np.ones((1, len(rows))))[0]
    return table


def _scores(bench: _Bench, rows: Array, predicted: Array) -> Scores:
    studies = bench.intake.studies
    target = np.array([studies[i].label for i in rows], dtype=np.float64)
    return Scores(bench.config.target.names, predicted, target, np.array(patient_numbers(studies))[rows])
