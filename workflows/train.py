"""`medmm train`: validate, split, train, evaluate, package, register."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from medmm.config import RunConfig
from medmm.errors import ConfigError
from medmm.evaluation.evaluate import evaluate
from medmm.evaluation.flowchart import flowchart
from medmm.evaluation.prior import prior
from medmm.evaluation.results import Evaluation
from medmm.evaluation.yardstick import YARDSTICKS
from medmm.files import digest, digest_file, write_json, write_private
from medmm.package import card_text, save_package
from medmm.registry import log_model, register
from medmm.training.tracking import SQLITE, Record, connect, flat, open_record

from .characteristics import flow_of, page_of, table_one
from .cohort import Cohort, prepare
from .cut_notes import record_cut_notes
from .fine_tuning import refuse_idle_strategy
from .learn import Learned, join, learn
from .report import InputComparison, compare_inputs, log_report, log_rules
from .robustness import tell_robustness
from .screen import Screen, with_interval
from .start import shown_address
from .ui import HOST

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient

STATE = "run.json"
RUN_FILE = "run.yaml"
"""The run file with what was put over it, beside the package: by it the run can be audited."""


@dataclass(frozen=True)
class Trained:
    """What a training gave.

    Attributes:
        package: Its folder.
        model: Address in the registry.
        champion: Whether it is champion now.
        run_page: The run's page below the address of the UI.
        evaluation: On the test studies.
        comparison: Single inputs and subsets of inputs, by what the models alone say.
        rules: How often each rule fires, part by part.
    """

    package: Path
    model: str
    champion: bool
    run_page: str
    evaluation: Evaluation
    comparison: InputComparison
    rules: "pd.DataFrame"


def train(config: RunConfig, screen: Screen, *, resume: bool = False) -> Trained:
    """Run the whole training workflow.

    Args:
        config: The run file.
        screen: Shows progress.
        resume: Go on with the run that was interrupted, from its last epoch.

    Raises:
        MedmmError: Something that the user can repair.
        KeyboardInterrupt: Interrupted; the run is closed and can be resumed.
    """
    refuse_idle_strategy(config)  # before hours of decoding; once more when the size of the cohort has chosen the fusion
    client = connect(config.tracking)
    cohort = prepare(config, screen)
    own = fingerprint(config, cohort)
    run_id = interrupted_run(config.folder / STATE, own, "train") if resume else None
    if run_id is None:
        shutil.rmtree(config.folder / "checkpoints", ignore_errors=True)
    with open_record(client, config.tracking, config.name, resume=run_id) as record:
        write_json(config.folder / STATE, {"run_id": record.run_id, **own})
        trained = _train(config, cohort, client, record, screen)
    (config.folder / STATE).unlink()
    return trained


def _train(asked: RunConfig, cohort: Cohort, client: "MlflowClient", record: Record, screen: Screen) -> Trained:
    config = cohort.config
    refuse_idle_strategy(config)
    describe(record, config, cohort)
    apart = config.model.fusion.apart and len(config.inputs) > 1
    checkpoints = config.folder / "checkpoints"
    learned = None if apart else learn(cohort, record.measures, screen, "all inputs", checkpoints / "all")
    singles: dict[str, Learned] = {}
    if apart or (config.evaluation.single_inputs and len(config.inputs) > 1):
        for name in config.inputs:
            with open_record(client, config.tracking, f"{name} alone", parent=record) as child:
                own = checkpoints / f"only-{name}"
                singles[name] = learn(cohort.only(name), child.measures, screen, f"{name} alone", own, decides=False)
    if learned is None:
        screen.say("joining the inputs by what they say of the validation studies ...")
        learned = join(cohort, singles, screen)
    screen.say("evaluating on the test studies ...")
    evaluation = evaluate(learned.answers, config.target.task, learned.package.thresholds, config.evaluation.resamples)
    comparison = compare_inputs(config, learned, singles)
    facts = _facts(cohort, evaluation, comparison)
    package = replace(learned.package, facts=facts)
    folder = config.folder / "package"
    package = replace(package, digest=save_package(package, folder))
    settings = yaml.safe_dump(asked.model_dump(mode="json", exclude_unset=True), sort_keys=False)
    write_private(config.folder / RUN_FILE, settings.encode())  # it names the folder of the cohort
    log_report(record, cohort, learned, evaluation, comparison)
    book, alone = learned.package.rulebook(), learned.test[frozenset(cohort.inputs)]
    rules = log_rules(record, book, cohort.studies, cohort.split.parts, alone, config.evaluation.resamples)
    tell_robustness(cohort, learned, record, screen)
    screen.say("packaging and registering ...")
    address = log_model(record, package, folder)
    headline = evaluate(learned.validation, config.target.task, package.thresholds, 100).headline.value
    validation = digest([cohort.manifest.digest, cohort.split["validation"]])
    version, champion = register(client, config.name, record, address, headline, validation)
    record.tags({"model": f"models:/{config.name}/{version}", "model_digest": package.digest})
    record.tags({"mlflow.note.content": card_text(package)})  # the description on the run's page
    return Trained(folder, f"models:/{config.name}/{version}", champion, record.address(), evaluation, comparison, rules)


def describe(record: Record, config: RunConfig, cohort: Cohort) -> None:
    """Log parameters, the resolved run file and the split; no path and no identifier is among them."""
    settings = shown_settings(config)
    record.parameters(flat(settings))
    record.document(settings, "config.json")
    record.tags({"cohort_digest": cohort.manifest.digest})
    if cohort.start is not None:
        record.tags({"init": str(shown_address(config.training.init)), "init_digest": cohort.start.digest})
    record_cut_notes(cohort.prepared, record)
    record.table(cohort.manifest.table, "cohort.csv")
    record.document(cohort.proof.plain(), "proof.json")
    record.table(cohort.proof.table(), "leaks.csv")
    sides = cohort.sides()
    flow = flow_of(cohort.studies, cohort.left_out, sides)
    characteristics = table_one(config, cohort.studies, sides)
    record.table(characteristics.table(), "table1.csv")
    record.table(flow.table(), "flow.csv")
    record.figure(flowchart(flow), "plots/flow.png")
    page = page_of(config, characteristics, flow, cohort.proof.persons, cohort.proof.findings, cohort.manifest.digest)
    record.text(page, "cohort.html")
    for part in ("train", "validation", "test"):
        table = cohort.manifest.table[cohort.manifest.table["part"] == part]
        record.dataset(table, f"{config.name}-{part}", digest([cohort.manifest.digest, part]), part)


def shown_settings(config: RunConfig) -> dict[str, object]:
    """Give the resolved run file without what only the training machine has: paths, and the address of the store."""
    settings = config.model_dump(mode="json", exclude={"cohort": {"root"}, "tracking": True, "output": True})
    for name, one in config.inputs.items():
        settings["inputs"][name]["encoder"] = one.encoder.portable().model_dump(mode="json", exclude={"architecture"})
    settings["training"]["init"] = shown_address(config.training.init)
    return settings


def _facts(cohort: Cohort, evaluation: Evaluation, comparison: InputComparison) -> dict[str, object]:
    counts = {
        part: {"studies": len(rows), "patients": cohort.split.patients[part]} for part, rows in cohort.split.parts.items()
    }
    learned = (*cohort.split["train"], *cohort.split["validation"], *cohort.unlabelled)
    before = set() if cohort.start is None else cohort.start.learned_from
    return {
        "cohort": counts,
        "prior": prior(cohort.config.target, cohort.target[list(cohort.split["train"])]).tolist(),
        "cohort_digest": cohort.manifest.digest,
        "proof": cohort.proof.plain(),
        "learned_from": sorted({file for i in learned for file in cohort.manifest.files[i]} | before),
        "people": dict(cohort.people),
        "init_digest": "" if cohort.start is None else cohort.start.digest,
        "results": _cells(evaluation),
        "inputs": comparison.cells(),
    }


def _cells(evaluation: Evaluation) -> list[dict[str, object]]:
    table = evaluation.table()
    return [{str(k): None if v != v else v for k, v in row.items()} for row in table.to_dict("records")]  # noqa: PLR0124


def fingerprint(config: RunConfig, cohort: Cohort) -> dict[str, str]:
    """Give what a run that is resumed must have in common with the one that was interrupted."""
    settings = config.model_dump(mode="json", exclude={"output", "tracking"})
    weights = [digest_file(path) for one in config.inputs.values() for path in one.encoder.files() if path.is_file()]
    start = "" if cohort.start is None else cohort.start.digest
    return {"config": digest([settings, weights, start]), "data": cohort.manifest.digest}


def interrupted_run(path: Path, own: Mapping[str, str], command: str) -> str:
    """Give the MLflow run that was interrupted.

    Args:
        path: Where its state lies.
        own: `fingerprint` of the run that is to go on with it.
        command: That the user gave, as a verb.

    Raises:
        ConfigError: There is none, or it was another.
    """
    if not path.is_file():
        raise ConfigError(f"there is no interrupted run to resume: {command} without --resume")
    state = json.loads(path.read_text())
    for what, known in own.items():
        if state[what] != known:
            raise ConfigError(f"the {what} of the interrupted run was another: {command} without --resume")
    return str(state["run_id"])


def show_trained(trained: Trained, config: RunConfig, screen: Screen) -> None:
    """Say how the training ended."""
    comparison = trained.comparison
    rows = [("all inputs", with_interval(comparison.fusion), "", comparison.fusion.studies, comparison.fusion.patients)]
    for name, one in comparison.singles.items():
        rows.append((f"{name} alone", with_interval(one.alone), with_interval(one.gain), one.alone.studies, one.alone.patients))
    moves = config.rulebook().moves
    alone = ", of the models alone, before the rules" if moves else ""
    label = YARDSTICKS[config.target.task].label
    screen.table(
        f"{label} on the test studies, with 95 % intervals by patient{alone}",
        ("model", label, "gain of all inputs, paired", "studies", "patients"),
        rows,
    )
    screen.say("")
    results = [
        (r.metric, r.class_name, with_interval(r.estimate), r.estimate.studies, r.estimate.patients)
        for r in trained.evaluation.results
    ]
    screen.table(
        "All inputs, after the rules" if moves else "All inputs", ("metric", "class", "value", "studies", "patients"), results
    )
    screen.say("")
    if len(trained.rules):
        title = "Studies for which each rule fires"
        screen.table(title, tuple(trained.rules.columns), [tuple(row) for row in trained.rules.to_numpy().tolist()])
        screen.say("")
    state = (
        "champion now"
        if trained.champion
        else "registered, not champion: the present one is better or was judged on other studies, or there was nothing to judge"
    )
    screen.say(f"model: {trained.model} ({state})")
    screen.say(f"package: {trained.package}")
    screen.say("cohort: Table 1, who was left out and why, and every leak check stand in cohort.html among the run's artifacts")
    store = config.tracking.uri.removeprefix(SQLITE)
    screen.say(f"run: http://{HOST}:5000/{trained.run_page} after: medmm ui {store}")
