"""A wrong run file is refused with its place and the repair; a right one survives every round trip."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from medmm.config import RunConfig, load_config, parse_config
from medmm.errors import ConfigError, MedmmError
from medmm.fusion.transformer import TransformerSettings
from medmm.training.strategies.supervised import Supervised
from medmm.workflows.fine_tuning import refuse_idle_strategy

GOOD: dict[str, Any] = {
    "name": "chest",
    "cohort": {"root": "data/chest", "time": "time", "subgroups": ["sex"]},
    "target": {"column": "diagnosis", "positive": "pneumonia"},
    "inputs": {
        "chest": {"kind": "image", "path": "dicom", "modality": ["CR", "DX"], "encoder": {"name": "resnet18", "channels": 16}},
        "labs": {"kind": "tabular", "table": "labs.csv", "numeric": {"crp": {"unit": "mg/L", "range": [0, 600]}}},
        "history": {"kind": "text", "table": "notes.csv"},
    },
    "model": {"width": 64, "fusion": "transformer"},
    "training": {"strategy": "supervised", "epochs": 12, "learning_rate": "3.0e-4"},
}


def changed(path: str, value: object) -> dict[str, Any]:
    """Give the good run file with one value changed; the path names its place."""
    content = json.loads(json.dumps(GOOD))
    *parents, last = path.split(".")
    place = content
    for parent in parents:
        place = place.setdefault(parent, {})
    place[last] = value
    return dict(content)


def without(path: str) -> dict[str, Any]:
    content = changed(path, None)
    *parents, last = path.split(".")
    place = content
    for parent in parents:
        place = place[parent]
    del place[last]
    return content


def refusal(content: Mapping[str, Any]) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_config(content, "chest.yaml")
    message = str(caught.value)
    assert message.startswith("chest.yaml: ")
    assert "\n" not in message
    assert "pydantic" not in message
    return message.removeprefix("chest.yaml: ")


def test_a_good_run_file_is_read() -> None:
    config = parse_config(GOOD, "chest.yaml")
    assert list(config.inputs) == ["chest", "labs", "history"]
    assert config.inputs["chest"].encoder.name == "resnet18"  # type: ignore[attr-defined]
    assert config.model.fusion == TransformerSettings()
    assert config.training.strategy == Supervised()
    assert config.training.learning_rate == pytest.approx(3e-4)
    assert config.folder == Path("runs/chest")


def test_a_run_survives_the_round_trip_through_json_and_yaml() -> None:
    config = parse_config(GOOD, "chest.yaml")
    plain = config.model_dump(mode="json")
    assert RunConfig.model_validate(json.loads(json.dumps(plain))) == config
    assert RunConfig.model_validate(yaml.safe_load(yaml.safe_dump(plain))) == config
    assert {"name": "resnet18", "channels": 16}.items() <= plain["inputs"]["chest"]["encoder"].items()
    assert plain["model"]["fusion"]["name"] == "transformer"


@pytest.mark.parametrize(
    ("content", "place", "repair"),
    [
        (changed("trainning", {}), "", "unknown key 'trainning': did you mean 'training'?"),
        (changed("training.epoch", 3), "training", "unknown key 'epoch': did you mean 'epochs'?"),
        (changed("inputs.chest.modalty", "CT"), "inputs.chest", "unknown key 'modalty': did you mean 'modality'?"),
        (changed("inputs.labs.numeric.crp.units", "g"), "inputs.labs.numeric.crp", "unknown key 'units': did you mean 'unit'?"),
        (changed("inputs.chest.encoder.chanels", 8), "inputs.chest.encoder", "unknown key 'chanels': did you mean 'channels'?"),
        (changed("model.fusion", {"name": "transformer", "layer": 2}), "model.fusion", "did you mean 'layers'?"),
        (
            changed("model.fusion", "transfomer"),
            "model.fusion",
            "no fusion is called 'transfomer': did you mean 'transformer'?",
        ),
        (changed("model.fusion", {"layers": 2}), "model.fusion", "needs the key 'name', one of "),
        (changed("inputs.chest.kind", "images"), "inputs.chest", "no input kind is called 'images': did you mean 'image'?"),
        (changed("inputs.chest.encoder", "resnet"), "inputs.chest.encoder", "did you mean 'resnet50'?"),
        (without("inputs.chest.kind"), "inputs.chest", "needs the key 'kind', one of image, tabular, text"),
        (changed("training.strategy", "superviced"), "training.strategy", "did you mean 'supervised'?"),
        (changed("training.epochs", "many"), "training.epochs", "valid integer"),
        (changed("training.epochs", 0), "training.epochs", "greater than or equal to 1"),
        (changed("training.epochs", 2.5), "training.epochs", "valid integer"),
        (changed("training.patience", 40), "training", "patience 40 exceeds epochs 12"),
        (changed("training.learning_rate", float("nan")), "training.learning_rate", "finite number"),
        (changed("training", None), "training", "valid dictionary"),
        (changed("training.precision", "64"), "training.precision", "'auto', '32', 'bf16' or '16'"),
        (without("cohort"), "cohort", "field required"),
        (without("cohort.root"), "cohort.root", "field required"),
        (without("target.positive"), "target", "a binary target needs 'positive'"),
        (changed("inputs", {}), "inputs", "at least 1"),
        (changed("inputs", ["chest"]), "inputs", "valid dictionary"),
        (changed("inputs.chest", None), "inputs.chest", ""),
        (changed("inputs.chest.size", [224]), "inputs.chest", "size has 2 or 3 sides"),
        (changed("inputs.my chest", GOOD["inputs"]["chest"]), "inputs", "letters, digits and underscore only"),
        (changed("inputs.values", GOOD["inputs"]["chest"]), "inputs", "the name means something else"),
        ({**GOOD, "inputs": {"../up": GOOD["inputs"]["chest"]}}, "inputs", "letters, digits and underscore only"),
        (changed("split", {"fractions": {"train": 0.9}}), "split.fractions", "add up to 1.2, not to 1"),
        (changed("name", "../chest"), "name", "letters, digits, dot, dash and underscore only"),
        (changed("name", "a" * 101), "name", "at most 100"),
        (changed("name", ""), "name", "letters, digits"),
        (changed("name", 7), "name", "valid string"),
    ],
)
def test_a_wrong_value_is_refused_with_its_place_and_the_repair(content: dict[str, Any], place: str, repair: str) -> None:
    message = refusal(content)
    assert repair in message
    assert message.startswith(f"{place}: " if place else repair)


def test_every_fault_of_a_run_file_is_named_at_once() -> None:
    content = {**changed("training.epochs", "many"), "name": "../x", "target": {}}
    message = refusal(content)
    for place in ("name: ", "target", "training.epochs: "):
        assert place in message
    assert message.count("; ") >= 2


def written(folder: Path, text: str) -> Path:
    path = folder / "chest.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def good(folder: Path) -> Path:
    return written(folder, yaml.safe_dump(GOOD))


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("name: chest\ncohort: {root: data\n", r"chest\.yaml, line 3: not YAML"),
        ("name: chest\n\tcohort: 1\n", r"chest\.yaml, line 2: not YAML"),
        ("name: chest\ncohort: root: x\n", r"chest\.yaml, line 2: not YAML"),
        ("name: !!python/object/apply:os.getcwd []\n", r"chest\.yaml, line 1: not YAML"),
        ("", r"chest\.yaml holds no settings"),
        ("- a\n- b\n", r"chest\.yaml holds no settings"),
        ("just words", r"chest\.yaml holds no settings"),
        ("name: 2024-99-99\n", r"chest\.yaml"),  # looks like a date and is none
        ("{[1, 2]: 3}\n", r"chest\.yaml"),
        ("1: 2\n", r"unknown key 1"),
        ("name: *missing\n", r"chest\.yaml, line 1: not YAML"),
        ("name: a\x07b\n", r"chest\.yaml"),
    ],
)
def test_a_file_that_is_no_run_file_says_so(tmp_path: Path, text: str, match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        load_config(written(tmp_path, text))


def test_a_key_that_stands_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="name"):
        load_config(written(tmp_path, yaml.safe_dump(GOOD) + "name: other\n"))


def test_a_file_that_is_missing_a_folder_or_no_text_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no run file"):
        load_config(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path)
    (tmp_path / "latin.yaml").write_bytes("name: Müller".encode("latin-1"))
    with pytest.raises(ConfigError, match="UTF-8"):
        load_config(tmp_path / "latin.yaml")


def test_overrides_reach_every_depth(tmp_path: Path) -> None:
    overrides = [
        "training.epochs=20",
        "training.learning_rate=1e-3",
        "model.fusion.layers=1",  # the file gives the fusion by its name alone
        "inputs.chest.size=[64, 64]",
        "inputs.labs.numeric.wbc={unit: 10*9/L}",
        "split.seed=4",  # the file has no split
        "cohort.time=",
        "target.positive=pneumonia=severe",
    ]
    config = load_config(good(tmp_path), overrides)
    assert config.training.epochs == 20
    assert config.training.learning_rate == pytest.approx(1e-3)
    assert isinstance(config.model.fusion, TransformerSettings)
    assert config.model.fusion.layers == 1
    assert config.inputs["chest"].size == (64, 64)  # type: ignore[attr-defined]
    assert list(config.inputs["labs"].numeric) == ["crp", "wbc"]  # type: ignore[attr-defined]
    assert config.split.seed == 4
    assert config.cohort.time is None
    assert config.target.positive == "pneumonia=severe"


def test_an_override_replaces_a_choice_and_the_last_one_wins(tmp_path: Path) -> None:
    config = load_config(good(tmp_path), ["model.fusion=weighted", "training.epochs=9", "training.epochs=11"])
    assert config.model.fusion.name == "weighted"
    assert config.training.epochs == 11


def test_an_input_can_be_added_by_overrides(tmp_path: Path) -> None:
    config = load_config(good(tmp_path), ["inputs.ct={kind: image, path: dicom, modality: [CT], size: [32, 32, 16]}"])
    assert config.inputs["ct"].kind == "image"


@pytest.mark.parametrize(
    ("override", "match"),
    [
        ("training.epochs", "not of the form training.epochs=5"),
        ("=5", "not of the form"),
        ("", "not of the form"),
        ("training.epochs=[1", "the value is not YAML"),
        ("training.epochs=2024-99-99", "training.epochs"),
        ("training.epochs.more=5", "'epochs' holds a single value"),
        ("training.epoch=5", "did you mean 'epochs'"),
        ("trainin.epochs=5", "did you mean 'training'"),
        ("training=5", "training: "),
        ("training.=5", "unknown key ''"),
        (".training=5", "unknown key ''"),
        ("model.fusion.layer=1", "did you mean 'layers'"),
        ("name.inner=1", "name"),
    ],
)
def test_a_wrong_override_is_refused(tmp_path: Path, override: str, match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        load_config(good(tmp_path), [override])


@pytest.mark.parametrize("path", sorted((Path(__file__).parents[1] / "configs").glob("*.yaml")), ids=lambda path: path.name)
def test_every_run_file_of_the_repository_is_right(path: Path) -> None:
    assert load_config(path).name


def test_an_error_of_a_run_file_is_one_that_the_command_prints() -> None:
    assert issubclass(ConfigError, MedmmError)
    assert issubclass(ConfigError, ValueError)


def unnamed() -> RunConfig:
    content = json.loads(json.dumps(GOOD))
    content["model"] = {"width": 64}
    content["inputs"] = {
        "chest": {"kind": "image", "path": "dicom"},
        "labs": {"kind": "tabular", "table": "labs.csv", "categorical": ["sex"]},
        "history": {"kind": "text", "table": "notes.csv"},
        "named": {"kind": "text", "table": "notes.csv", "encoder": "transformer"},
    }
    return parse_config(content, "x")


@pytest.mark.parametrize(
    ("patients", "names"),
    [
        (999, ["resnet18", "mlp", "bag_of_words", "transformer", "late"]),
        (1000, ["densenet121", "ft_transformer", "transformer", "transformer", "transformer"]),
    ],
)
def test_what_a_run_file_does_not_name_suits_the_number_of_patients(patients: int, names: list[str]) -> None:
    settled = unnamed().settled(patients)
    assert [*(one.encoder.name for one in settled.inputs.values()), settled.model.fusion.name] == names
    assert settled.settled(5000) == settled  # once chosen it stays
    assert settled.model.width == 64


def test_what_a_run_file_names_is_left_alone() -> None:
    config = parse_config(GOOD, "x")
    settled = config.settled(50)
    assert settled.inputs["chest"] == config.inputs["chest"]
    assert settled.model == config.model
    assert settled.inputs["labs"] != config.inputs["labs"]


@pytest.mark.parametrize(
    ("strategy", "fusion", "refused"),
    [
        ("ogm_ge", "late", True),
        ("ogm_ge", {"name": "concat", "auxiliary_weight": 0}, True),
        ("ogm_ge", "concat", False),
        ("supervised", "late", False),
    ],
)
def test_a_strategy_that_could_not_act_is_refused(strategy: str, fusion: object, refused: bool) -> None:
    content = {**GOOD, "training": {"strategy": strategy}, "model": {"fusion": fusion}}
    if refused:
        with pytest.raises(ConfigError, match="ogm_ge balances inputs that learn together"):
            refuse_idle_strategy(parse_config(content, "x"))
    else:
        refuse_idle_strategy(parse_config(content, "x"))


def test_a_seed_of_a_comparison_stands_once() -> None:
    assert "each of the seeds stands once" in refusal({**GOOD, "compare": {"seeds": [0, 1, 0]}})
