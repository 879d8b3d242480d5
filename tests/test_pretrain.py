"""`medmm pretrain` and `training.init`: who teaches, who never does, and what a run takes over."""

import io
import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
import torch
from conftest import Hospital
from rich.console import Console
from test_end_to_end import run_file

from medmm.cohort.manifest import patient_numbers
from medmm.cohort.synthetic import SyntheticSettings, make_cohort
from medmm.config import RunConfig, parse_config
from medmm.errors import ConfigError, DataError
from medmm.package import load_package
from medmm.sealed import MANIFEST
from medmm.start import FACTS, FILES, SETTINGS, STATE, WEIGHTS, Start, load_start, save_start
from medmm.workflows import pretrain as module
from medmm.workflows.cohort import Cohort, prepare
from medmm.workflows.fine_tuning import refuse_idle_strategy
from medmm.workflows.learn import new_model
from medmm.workflows.pretrain import Pretrained, learning_and_validation, pretrain
from medmm.workflows.screen import Screen
from medmm.workflows.train import train

SCREEN = Screen(Console(quiet=True))
PATIENTS, UNLABELLED = 100, 50


def content_of(folder: Path, cohort: Path) -> dict[str, Any]:
    content = run_file(folder, cohort)
    content["pretraining"] = {"epochs": 2, "patience": 2, "batch_size": 32, "accelerator": "cpu", "learning_rate": 1e-3}
    content["training"] = {"epochs": 2, "patience": 2, "accelerator": "cpu"}
    return content


def config_of(folder: Path, cohort: Path, init: str | None = None, **changes: Any) -> RunConfig:
    content = content_of(folder, cohort)
    content["training"]["init"] = init
    for place, value in changes.items():
        *parents, last = place.split("__")
        inner = content
        for parent in parents:
            inner = inner[parent]
        inner[last] = value
    return parse_config(content, "small.yaml")


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cohort in which half of the patients have no label; of one of the others, one study has none."""
    folder = tmp_path_factory.mktemp("export") / "cohort"
    settings = SyntheticSettings(
        patients=PATIENTS, images=("radiograph",), radiograph_size=40, absent={"laboratory": 0.2, "note": 0.2}, seed=5
    )
    make_cohort(folder, settings)
    studies = pd.read_csv(folder / "studies.csv", dtype=str, keep_default_na=False)
    chosen = np.random.default_rng(0).choice(studies["patient_id"].unique(), UNLABELLED, replace=False)
    studies.loc[studies["patient_id"].isin(chosen), "diagnosis"] = ""
    twice = studies[~studies["patient_id"].isin(chosen)].duplicated("patient_id")
    studies.loc[twice[twice].index, "diagnosis"] = ""  # later studies of the labelled patients, test patients among them
    studies.to_csv(folder / "studies.csv", index=False)
    return folder


@dataclass(frozen=True)
class Run:
    folder: Path
    config: RunConfig
    pretrained: Pretrained
    said: str


@pytest.fixture
def room(tmp_path: Path, empty_store: Path) -> Path:
    """A folder with a store of its own."""
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    return tmp_path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, export: Path, empty_store: Path) -> Run:
    folder = tmp_path_factory.mktemp("run")
    shutil.copy(empty_store, folder / "mlflow.db")
    config, file = config_of(folder, export), io.StringIO()
    return Run(folder, config, pretrain(config, Screen(Console(file=file, width=200))), file.getvalue())


@pytest.fixture(scope="module")
def cohort(run: Run) -> Cohort:
    return prepare(run.config, SCREEN, unlabelled=True)


def test_no_test_patient_teaches_or_chooses(run: Run, cohort: Cohort) -> None:
    learning, validation = learning_and_validation(cohort)
    patients = np.array([study.cells["patient_id"] for study in cohort.studies])
    of_train = prepare(run.config, SCREEN)  # as `medmm train` splits, which takes no unlabelled study in
    test = set(patients[list(of_train.split["test"])])
    assert len(test) > 10
    assert test == set(patients[list(cohort.split["test"])])
    assert not test & set(patients[[*learning, *validation]])
    assert not set(patients[list(learning)]) & set(patients[list(validation)])
    assert set(of_train.split["train"]) <= set(learning)
    assert set(of_train.split["validation"]) <= set(validation)
    # Test patients have studies without a label too, which were to be had.
    unlabelled = {i for i, study in enumerate(cohort.studies) if study.label is None and study.patient_id in test}
    assert unlabelled
    assert f"no study of the {len(test)} test patients" in run.said


@pytest.mark.slow
def test_the_content_of_no_test_study_changes_anything(run: Run, export: Path, room: Path) -> None:
    """Every file, value and note of the test patients is replaced; the encoders stay the same, bit for bit."""
    other = Path(shutil.copytree(export, room / "cohort"))
    of_train = prepare(run.config, SCREEN)
    test = {of_train.studies[i].patient_id for i in of_train.split["test"]}
    for name, column in (("labs.csv", "value"), ("notes.csv", "text")):
        table = pd.read_csv(other / name, dtype=str, keep_default_na=False)
        table.loc[table["patient_id"].isin(test), column] = "7.7" if column == "value" else "Nothing to say here."
        table.to_csv(other / name, index=False)
    again = pretrain(config_of(room, other, pretraining__method="masked"), SCREEN)
    kept = {name: (again.folder / name).read_bytes() for name in (WEIGHTS, STATE)}
    before = pretrain(config_of(room, export, pretraining__method="masked"), SCREEN)
    assert kept == {name: (before.folder / name).read_bytes() for name in kept}


def test_studies_without_a_label_teach_and_choose(cohort: Cohort) -> None:
    learning, validation = learning_and_validation(cohort)
    for rows in (learning, validation):
        assert sum(cohort.studies[i].label is None for i in rows) > 5
    patients = patient_numbers(cohort.studies)
    held = {patients[i] for i in validation if cohort.studies[i].label is None and i not in cohort.split["validation"]}
    assert 0.15 < len(held) / UNLABELLED < 0.45  # 0.2 of 0.7 with these fractions


def test_the_run_records_losses_measures_and_encoders_without_a_name(run: Run, export: Path) -> None:
    client = mlflow.MlflowClient(run.config.tracking.uri)
    recorded = client.get_run(run.pretrained.address.removeprefix("runs:/"))
    assert recorded.info.status == "FINISHED"
    assert recorded.info.run_name == "small pretraining"
    assert client.get_experiment(recorded.info.experiment_id).name == "small"
    assert len(client.get_metric_history(recorded.info.run_id, "validation_loss")) == 2
    for name in ("retrieval/chest-history", "retrieval/chest-history_low", "restored/labs", "restored/labs_patients"):
        assert name in recorded.data.metrics
    assert {one.path for one in client.list_artifacts(recorded.info.run_id)} == {"cohort.csv", "config.json", "encoders"}
    studies = pd.read_csv(export / "studies.csv", dtype=str)
    secrets = [*studies["patient_id"], *studies["study_id"], *studies["study_uid"], str(export)]
    files = [
        one for place in ("mlartifacts", "runs/small/pretraining") for one in (run.folder / place).rglob("*.*") if one.is_file()
    ]
    assert len(files) > 10
    for path in [run.folder / "mlflow.db", *files]:
        text = path.read_bytes()
        if path.suffix in {".ckpt", ".safetensors"}:
            continue  # numbers
        for secret in secrets:
            assert re.search(rb"(?<![0-9.])%b(?![0-9])" % re.escape(secret.encode()), text) is None, path.name


def test_a_run_takes_over_weights_bit_for_bit_and_the_fitted_state(run: Run, export: Path) -> None:
    start = load_start(run.pretrained.folder)
    config = config_of(run.folder, export, run.pretrained.address)
    own = prepare(config, SCREEN)
    plain = prepare(run.config, SCREEN)
    assert own.start is not None
    assert own.start.digest == start.digest
    for name in ("history", "labs"):
        assert own.inputs[name].state == start.inputs[name].state != plain.inputs[name].state
    model = new_model(own)
    for name, encoder in model.encoders.items():
        before = {key: tensor.clone() for key, tensor in encoder.state_dict().items()}
        own.start.load(name, encoder)
        after = encoder.state_dict()
        assert all(torch.equal(after[key], start.weights[name][key]) for key in after)
        assert not all(torch.equal(after[key], before[key]) for key in after)
    assert own.split.parts == plain.split.parts


def test_the_training_starts_from_them_and_says_so(run: Run, export: Path, room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from medmm.workflows import learn as learning

    seen: list[Mapping[str, torch.Tensor]] = []
    fit = learning.fit

    def spy(objective: Any, *rest: Any) -> Any:
        seen.append({key: value.clone() for key, value in objective.model.encoders.state_dict().items()})
        return fit(objective, *rest)

    monkeypatch.setattr(learning, "fit", spy)
    file = io.StringIO()
    trained = train(config_of(room, export, str(run.pretrained.folder)), Screen(Console(file=file, width=250)))
    start = load_start(run.pretrained.folder)
    assert seen[0].keys() == {f"{name}.{key}" for name, own in start.weights.items() for key in own}
    assert all(
        torch.equal(seen[0][f"{name}.{key}"], value) for name, own in start.weights.items() for key, value in own.items()
    )
    assert "chest, history, labs: fitted state and encoder of a local folder (small)" in file.getvalue()
    assert "its test patients were left out when they learned" in file.getvalue()
    facts = load_package(trained.package).facts
    assert start.learned_from <= set(facts["learned_from"])  # `medmm evaluate` leaves these patients out
    client = mlflow.MlflowClient(f"sqlite:///{room / 'mlflow.db'}")
    (recorded,) = client.search_runs([client.get_experiment_by_name("small").experiment_id])
    assert recorded.data.tags["init_digest"] == start.digest
    assert recorded.data.params["training.init"] == "a local folder"


def test_a_linear_probe_needs_encoders_that_were_trained(room: Path, export: Path) -> None:
    refuse_idle_strategy(config_of(room, export, "runs:/0123", training__strategy="linear_probe"))
    with pytest.raises(ConfigError, match=r"or encoders of `medmm pretrain` under training\.init"):
        refuse_idle_strategy(config_of(room, export, training__strategy="linear_probe"))


@pytest.mark.slow
def test_a_package_can_be_started_from_too(run: Run, export: Path, room: Path) -> None:
    trained = train(config_of(room, export), SCREEN)
    model = load_package(trained.package).model
    client = mlflow.MlflowClient(f"sqlite:///{room / 'mlflow.db'}")
    (recorded,) = client.search_runs([client.get_experiment_by_name("small").experiment_id])
    for address in (str(trained.package), f"runs:/{recorded.info.run_id}", "models:/small@champion"):
        cohort = prepare(config_of(room, export, address), SCREEN)
        assert cohort.start is not None
        for name, encoder in model.encoders.items():
            assert all(torch.equal(value, cohort.start.weights[name][key]) for key, value in encoder.state_dict().items())


class TestSeen:
    """Encoders that saw a test patient are refused."""

    def test_the_same_export_split_otherwise(self, run: Run, export: Path) -> None:
        config = config_of(run.folder, export, run.pretrained.address, split__seed=3)
        with pytest.raises(DataError, match=r"learned from images of \d+ of \d+ test patients: pretrain with this run file"):
            prepare(config, SCREEN)

    def test_the_same_export_split_otherwise_where_no_file_tells(self, export: Path, room: Path) -> None:
        tables = {name: one for name, one in content_of(room, export)["inputs"].items() if name != "chest"}
        pretrained = pretrain(config_of(room, export, inputs=tables), SCREEN)
        assert load_start(pretrained.folder).learned_from == frozenset()
        prepare(config_of(room, export, pretrained.address, inputs=tables), SCREEN)
        with pytest.raises(DataError, match="other test patients"):
            prepare(config_of(room, export, pretrained.address, inputs=tables, split__seed=3), SCREEN)

    def test_another_export_with_an_image_of_a_test_patient(self, run: Run, export: Path, room: Path) -> None:
        """The same images under other identifiers: only their files tell."""
        other = Path(shutil.copytree(export, room / "cohort"))
        for name in ("studies.csv", "labs.csv", "notes.csv"):
            table = pd.read_csv(other / name, dtype=str, keep_default_na=False)
            table["patient_id"] = table["patient_id"].map(lambda one: f"{int(one) * 37 % 9973:05d}")
            table.to_csv(other / name, index=False)
        config = config_of(room, other, run.pretrained.address, inputs__chest__check_patient=False)
        config = config.model_copy(update={"tracking": run.config.tracking})
        with pytest.raises(DataError, match="learned from images of"):
            prepare(config, SCREEN)

    def test_strangers_are_welcome_and_what_cannot_be_told_is_said(self, run: Run, room: Path) -> None:
        other, file = room / "cohort", io.StringIO()
        make_cohort(other, SyntheticSettings(patients=40, first_patient=5000, images=("radiograph",), radiograph_size=40))
        cohort = prepare(config_of(room, other, str(run.pretrained.folder)), Screen(Console(file=file, width=300)))
        assert "cannot be told" in file.getvalue()
        assert cohort.start is not None


class TestFits:
    """What does not fit is refused by name, with the repair; what is not there starts from scratch."""

    @pytest.mark.parametrize(
        ("place", "value", "said"),
        [
            ("inputs__chest__size", [40, 40], r"'chest': size is \[40, 40\], it was \[32, 32\]: say the same"),
            ("inputs__chest__window", [0, 100], r"'chest': window is \[0\.0, 100\.0\], it was None"),
            ("inputs__chest__encoder", {"name": "resnet18", "channels": 16}, r"'chest': encoder\.channels is 16, it was 8"),
            ("inputs__chest__encoder", "vit", "'chest': encoder is vit, it was resnet18"),
            ("inputs__history__max_tokens", 60, "'history': max_tokens is 60, it was 80"),
            ("inputs__history__mark", False, "'history': mark is False, it was True"),
            ("inputs__history__encoder", {"name": "bag_of_words", "words": 200}, r"'history': encoder\.words is 200"),
            ("inputs__labs__numeric", {"crp": {"unit": "mg/L"}}, r"'labs': numeric is \[\['crp', 'mg/L'\]\], it was"),
            ("model__width", 32, "'chest': width is 32, it was 16"),
        ],
    )
    def test_another_input(self, run: Run, export: Path, place: str, value: Any, said: str) -> None:
        with pytest.raises(ConfigError, match=said):
            prepare(config_of(run.folder, export, run.pretrained.address, **{place: value}), SCREEN)

    def test_how_an_encoder_learns_may_change(self, run: Run, export: Path) -> None:
        encoder = {"name": "resnet18", "channels": 8, "tuning": {"learn": "none"}}
        cohort = prepare(config_of(run.folder, export, run.pretrained.address, inputs__chest__encoder=encoder), SCREEN)
        assert cohort.start is not None
        cohort.start.load("chest", new_model(cohort).encoders["chest"])

    def test_adapters_that_a_run_adds_change_nothing_at_first(self, run: Run, export: Path) -> None:
        encoder = {"name": "resnet18", "channels": 8, "tuning": {"learn": "lora"}}
        cohort = prepare(config_of(run.folder, export, run.pretrained.address, inputs__chest__encoder=encoder), SCREEN)
        plain = prepare(config_of(run.folder, export, run.pretrained.address), SCREEN)
        image = {"image": torch.rand(2, 1, 32, 32)}
        said = []
        for one in (cohort, plain):
            assert one.start is not None
            network = new_model(one).encoders["chest"].eval()
            one.start.load("chest", network)
            said.append(network(image).values)
        torch.testing.assert_close(said[0], said[1])

    def test_adapters_that_a_run_lacks_are_refused(self, hospital: Hospital) -> None:
        tuning = hospital.inputs["chest"].settings.encoder.tuning.model_copy(update={"learn": "lora"})  # type: ignore[attr-defined]
        encoder = hospital.inputs["chest"].settings.encoder.model_copy(update={"tuning": tuning})
        with_adapters = hospital.inputs["chest"].settings.model_copy(update={"encoder": encoder}).open("chest")
        weights = {"chest": dict(with_adapters.encoder(16).state_dict())}
        start = Start("small", 16, {"chest": with_adapters}, weights, {})
        with pytest.raises(ConfigError, match=r"does not fit the encoder of 'chest'.* its adapters included"):
            start.load("chest", hospital.inputs["chest"].encoder(16))

    def test_an_input_that_names_no_encoder_gets_the_trained_one(self, run: Run, export: Path) -> None:
        content = content_of(run.folder, export)
        del content["inputs"]["chest"]["encoder"]  # alone it would get 16 channels
        content["training"]["init"] = run.pretrained.address
        cohort = prepare(parse_config(content, "small.yaml"), SCREEN)
        assert cohort.config.inputs["chest"].encoder.channels == 8  # type: ignore[attr-defined]

    def test_an_input_that_was_not_there_starts_from_scratch(self, run: Run, export: Path) -> None:
        inputs = content_of(run.folder, export)["inputs"]
        more = {"chest": inputs["chest"], "blood": inputs["labs"]}
        file = io.StringIO()
        config = config_of(run.folder, export, run.pretrained.address, inputs=more)
        cohort = prepare(config, Screen(Console(file=file, width=300)))
        assert "chest: fitted state and encoder of" in file.getvalue()
        assert "blood from scratch; of no use here: history, labs" in file.getvalue()
        assert cohort.inputs["blood"].state is not None

    def test_no_input_of_the_same_name(self, run: Run, export: Path) -> None:
        inputs = content_of(run.folder, export)["inputs"]
        with pytest.raises(ConfigError, match="has encoders of chest, history, labs, the run has the inputs blood"):
            prepare(config_of(run.folder, export, run.pretrained.address, inputs={"blood": inputs["labs"]}), SCREEN)

    @pytest.mark.parametrize(
        "address", ["runs:/0123456789abcdef0123456789abcdef", "models:/nothing@champion", "no/such/folder"]
    )
    def test_an_address_that_leads_nowhere(self, run: Run, export: Path, address: str) -> None:
        with pytest.raises(ConfigError, match="there are no encoders at the address"):
            prepare(config_of(run.folder, export, address), SCREEN)


@pytest.fixture
def start(hospital: Hospital) -> Start:
    torch.manual_seed(0)
    weights = {name: dict(one.encoder(16).state_dict()) for name, one in hospital.inputs.items()}
    return Start("small", 16, hospital.inputs, weights, {"learned_from": ["ab"], "people": {}})


def test_encoders_survive_the_round_trip(start: Start, tmp_path: Path) -> None:
    whole = save_start(start, tmp_path / "encoders")
    again = load_start(tmp_path / "encoders")
    assert (again.name, again.width, again.facts, again.digest) == ("small", 16, start.facts, whole)
    assert {name: one.state for name, one in again.inputs.items()} == json.loads(
        json.dumps({name: one.state for name, one in start.inputs.items()})
    )
    for name, own in start.weights.items():
        assert own.keys() == again.weights[name].keys()
        assert all(torch.equal(value, again.weights[name][key]) for key, value in own.items())


@pytest.mark.parametrize("name", [*FILES, MANIFEST])
def test_a_changed_byte_is_refused_before_anything_is_loaded(
    start: Start, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from medmm import start as loading

    save_start(start, tmp_path / "encoders")
    whole = bytearray((tmp_path / "encoders" / name).read_bytes())
    whole[len(whole) // 2] ^= 1
    (tmp_path / "encoders" / name).write_bytes(bytes(whole))

    def no_loading(*_args: object) -> object:
        raise AssertionError

    monkeypatch.setattr(loading, "load", no_loading)
    with pytest.raises(DataError, match="pretrain again"):
        load_start(tmp_path / "encoders")


def test_another_format_is_refused(start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from medmm import start as saving

    monkeypatch.setattr(saving, "FORMAT", 99)
    save_start(start, tmp_path / "encoders")
    monkeypatch.undo()
    with pytest.raises(DataError, match="format 99"):
        load_start(tmp_path / "encoders")
    assert {SETTINGS, STATE, WEIGHTS, FACTS} == set(FILES)


@pytest.mark.slow
def test_a_pretraining_broken_off_ends_with_the_same_encoders(run: Run, export: Path, room: Path) -> None:
    config = config_of(room, export)
    fit = module.fit

    def interrupted(*given: Any) -> Any:
        *rest, report = given

        def stop(epoch: int, measures: Mapping[str, float]) -> None:
            report(epoch, measures)
            raise KeyboardInterrupt

        return fit(*rest, stop)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "fit", interrupted)
        with pytest.raises(KeyboardInterrupt):
            pretrain(config, SCREEN)
    with pytest.raises(ConfigError, match="was another: pretrain without --resume"):
        pretrain(config_of(room, export, pretraining__learning_rate=0.5), SCREEN, resume=True)
    again = pretrain(config, SCREEN, resume=True)
    assert (again.folder / WEIGHTS).read_bytes() == (run.pretrained.folder / WEIGHTS).read_bytes()
    client = mlflow.MlflowClient(config.tracking.uri)
    (recorded,) = client.search_runs([client.get_experiment_by_name("small").experiment_id])
    assert recorded.info.status == "FINISHED"
    with pytest.raises(ConfigError, match="no interrupted run to resume: pretrain without --resume"):
        pretrain(config, SCREEN, resume=True)


@pytest.mark.slow
def test_an_export_without_any_label_can_be_pretrained_on(export: Path, room: Path) -> None:
    other = Path(shutil.copytree(export, room / "cohort"))
    studies = pd.read_csv(other / "studies.csv", dtype=str, keep_default_na=False)
    studies["diagnosis"] = ""
    studies.to_csv(other / "studies.csv", index=False)
    pretrained = pretrain(config_of(room, other), SCREEN)
    assert pretrained.learning + pretrained.validation == len(studies)


@pytest.mark.slow
def test_labels_change_nothing_but_the_split(export: Path, room: Path) -> None:
    """By a column the split is the same whatever the labels are: turned round, they leave every weight as it is."""
    other = Path(shutil.copytree(export, room / "cohort"))
    studies = pd.read_csv(other / "studies.csv", dtype=str, keep_default_na=False)
    numbers = {one: i for i, one in enumerate(studies["patient_id"].unique())}
    studies["part"] = [["train", "train", "validation", "test"][numbers[one] % 4] for one in studies["patient_id"]]
    weights = []
    (other_label,) = set(studies["diagnosis"]) - {"", "pneumonia"}
    for turned in ({}, {"pneumonia": other_label, other_label: "pneumonia"}):
        studies.assign(diagnosis=[turned.get(one, one) for one in studies["diagnosis"]]).to_csv(
            other / "studies.csv", index=False
        )
        config = config_of(room, other, split={"by": "column", "column": "part"})
        weights.append((pretrain(config, SCREEN).folder / WEIGHTS).read_bytes())
    assert weights[0] == weights[1]
