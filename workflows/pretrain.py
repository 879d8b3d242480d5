"""`medmm pretrain`: encoders that learn from all studies but those of the test patients, without a label."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from medmm.cohort.manifest import patient_numbers
from medmm.cohort.sharing import share_patients
from medmm.config import RunConfig
from medmm.dataset.batches import Batches, TrainingBatches
from medmm.errors import DataError
from medmm.files import digest, write_json
from medmm.start import Start, save_start
from medmm.training.loop import Fitted, fit
from medmm.training.pretraining.base import Pretraining
from medmm.training.pretraining.measures import Measured, measure
from medmm.training.tracking import SQLITE, Record, connect, flat, open_record

from .cohort import Cohort, prepare
from .screen import Screen, with_interval
from .train import fingerprint, interrupted_run, shown_settings
from .ui import HOST

FOLDER = "pretraining"
STATE = "pretraining.json"
ENCODERS = "encoders"


@dataclass(frozen=True)
class Pretrained:
    """What a pretraining gave.

    Attributes:
        address: For `training.init`.
        folder: Of the encoders, with the same content.
        run_page: The run's page below the address of the UI.
        learning: Studies that taught.
        validation: Studies that chose the epoch.
        fitted: How it ended.
        measured: On the validation studies.
    """

    address: str
    folder: Path
    run_page: str
    learning: int
    validation: int
    fitted: Fitted
    measured: Sequence[Measured]


def pretrain(config: RunConfig, screen: Screen, *, resume: bool = False) -> Pretrained:
    """Let the encoders of a run file learn without labels, and keep them.

    Args:
        config: The run file; its split is that of `medmm train`.
        screen: Shows progress.
        resume: Go on with the pretraining that was interrupted, from its last epoch.

    Raises:
        MedmmError: Something that the user can repair.
        KeyboardInterrupt: Interrupted; the run is closed and can be resumed.
    """
    config = config.model_copy(update={"training": config.training.model_copy(update={"init": None})})
    client = connect(config.tracking)
    cohort = prepare(config, screen, unlabelled=True)
    state, checkpoints = config.folder / STATE, config.folder / FOLDER / "checkpoints"
    own = fingerprint(config, cohort)
    run_id = interrupted_run(state, own, "pretrain") if resume else None
    if run_id is None:
        shutil.rmtree(checkpoints, ignore_errors=True)
    tracking = config.tracking.model_copy(update={"experiment": config.tracking.experiment or config.name})
    with open_record(client, tracking, f"{config.name} pretraining", resume=run_id) as record:
        write_json(state, {"run_id": record.run_id, **own})
        pretrained = _pretrain(cohort, record, checkpoints, screen)
    state.unlink()
    return pretrained


def _pretrain(cohort: Cohort, record: Record, checkpoints: Path, screen: Screen) -> Pretrained:
    config, settings = cohort.config, cohort.config.pretraining
    learning, validation = learning_and_validation(cohort)
    patients = patient_numbers(cohort.studies)
    screen.say(
        f"{len(learning):,} studies teach, {len(validation):,} choose the epoch; no label is read, and no study of the "
        f"{cohort.split.patients['test']:,} test patients"
    )
    torch.manual_seed(settings.seed)
    objective = Pretraining(settings.method, cohort.inputs, config.model.width, patients)
    for name, one in cohort.inputs.items():
        if said := one.initialise(objective.encoders[name]):
            screen.say(f"{name}: {said}")
    _describe(record, cohort, learning, validation)
    nothing = np.full_like(cohort.target, np.nan)  # no label, so that none can be learned from
    batches = Batches(cohort.prepared, validation, None, settings.batch_size)
    with screen.step(f"pretraining: {settings.method.name}") as step:

        def report(epoch: int, measures: Mapping[str, float]) -> None:
            record.measures(measures, epoch)
            step(epoch, settings.epochs, f"validation loss {measures['validation_loss']:.3f}")

        fitted = fit(
            objective,
            lambda epoch: TrainingBatches(
                cohort.prepared,
                learning,
                nothing,
                settings.batch_size,
                inputs=cohort.inputs,
                seed=settings.seed,
                epoch=epoch,
                views=settings.method.views,
            ),
            batches,
            settings,
            checkpoints,
            report,
        )
    measured = measure(objective, batches, patients, config.evaluation.resamples)
    folder = config.folder / FOLDER / ENCODERS
    weights = {name: dict(encoder.state_dict()) for name, encoder in objective.encoders.items()}
    facts = _facts(cohort, learning, validation, measured)
    whole = save_start(Start(config.name, config.model.width, cohort.inputs, weights, facts), folder)
    _log(record, fitted, measured, folder, whole)
    return Pretrained(f"runs:/{record.run_id}", folder, record.address(), len(learning), len(validation), fitted, measured)


def learning_and_validation(cohort: Cohort) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Give the studies that teach and those that choose the epoch, labelled or not; none is of a test patient.

    A share of the patients without a label, as large as the split's, joins the validation part: where labels are few, it alone
    would choose by chance.

    Raises:
        DataError: There are too few.
    """
    studies, fractions = cohort.studies, cohort.config.split.fractions
    known = {studies[i].patient_id for i in (*cohort.split["train"], *cohort.split["validation"])}
    strata = {studies[i].patient_id: 0 for i in cohort.unlabelled if studies[i].patient_id not in known}
    both = fractions.train + fractions.validation
    part = share_patients(strata, (fractions.train / both, fractions.validation / both), cohort.config.split.seed)
    held = [i for i in cohort.unlabelled if part.get(studies[i].patient_id) == 1]
    learning = sorted({*cohort.split["train"], *cohort.unlabelled} - set(held))
    validation = sorted({*cohort.split["validation"], *held})
    if len(learning) < 2 or len(validation) < 2:
        raise DataError(
            f"{len(learning)} studies could teach and {len(validation)} choose, two of each are needed: add studies"
        )
    return tuple(learning), tuple(validation)


def _describe(record: Record, cohort: Cohort, learning: Sequence[int], validation: Sequence[int]) -> None:
    shown = shown_settings(cohort.config)
    kept = {name: shown[name] for name in ("name", "cohort", "inputs", "split", "model", "pretraining")}
    record.parameters(flat({name: kept[name] for name in ("inputs", "split", "pretraining")}))
    record.document(kept, "config.json")
    record.tags({"cohort_digest": cohort.manifest.digest})
    table = cohort.manifest.table.copy()
    table["part"] = "left out"
    for part, rows in (("train", learning), ("validation", validation), ("test, unseen", cohort.split["test"])):
        table.loc[list(rows), "part"] = part
    record.table(table.drop(columns="label"), "cohort.csv")
    for part in ("train", "validation"):
        name = f"{cohort.config.name}-pretraining-{part}"
        record.dataset(table[table["part"] == part], name, digest([cohort.manifest.digest, FOLDER, part]), part)


def _facts(
    cohort: Cohort, learning: Sequence[int], validation: Sequence[int], measured: Sequence[Measured]
) -> dict[str, object]:
    counts = {
        part: {"studies": len(rows), "patients": len({cohort.studies[i].patient_id for i in rows})}
        for part, rows in (("train", learning), ("validation", validation))
    }
    return {
        "method": cohort.config.pretraining.method.model_dump(mode="json"),
        "cohort": counts,
        "cohort_digest": cohort.manifest.digest,
        "learned_from": sorted({file for i in (*learning, *validation) for file in cohort.manifest.files[i]}),
        "people": dict(cohort.people),
        "measures": {one.name: _plain(one) for one in measured},
    }


def _plain(one: Measured) -> dict[str, float | int | None]:
    e = one.estimate
    values: dict[str, float | int] = {"value": e.value, "low": e.low, "high": e.high}
    defined: dict[str, float | int | None] = {name: None if np.isnan(value) else value for name, value in values.items()}
    return {**defined, "guess": one.guess, "studies": e.studies, "patients": e.patients}


def _log(record: Record, fitted: Fitted, measured: Sequence[Measured], folder: Path, whole: str) -> None:
    values: dict[str, float] = {"best_epoch": fitted.best_epoch, "epochs_run": fitted.epochs}
    for one in measured:
        own = {name: value for name, value in _plain(one).items() if value is not None}
        values |= {one.name if name == "value" else f"{one.name}_{name}": float(value) for name, value in own.items()}
    record.measures(values)
    record.client.log_artifacts(record.run_id, str(folder), ENCODERS)
    record.tags({"encoders_digest": whole})


def show_pretrained(pretrained: Pretrained, config: RunConfig, command: str, screen: Screen) -> None:
    """Say how the pretraining ended, and how its encoders are used."""
    rows = [
        (said(one.name), with_interval(one.estimate), f"{one.guess:.3f}", one.estimate.studies, one.estimate.patients)
        for one in pretrained.measured
    ]
    screen.table(
        "On the validation studies, with 95 % intervals by patient",
        ("measure", "value", "without learning", "studies", "patients"),
        rows,
    )
    screen.say("")
    screen.say(f"best epoch {pretrained.fitted.best_epoch} of {pretrained.fitted.epochs}")
    screen.say(f"encoders: {pretrained.address}, also in {pretrained.folder}")
    screen.say(f"next: medmm train {command} training.init={pretrained.address}")
    store = config.tracking.uri.removeprefix(SQLITE)
    screen.say(f"run: http://{HOST}:5000/{pretrained.run_page} after: medmm ui {store}")


def said(name: str) -> str:
    """Give a measure in words."""
    kind, _, inputs = name.partition("/")
    first, _, second = inputs.partition("-")
    if kind == "retrieval":
        return f"{first} finds its {second}"
    return f"error on hidden {first}"
