"""Networks as graphs: every encoder and fusion of the tables computes what the model does, or is refused by name."""

import json
import logging
import re
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Hospital
from test_encoders import LENGTH, NOTES, SIZES, SMALL, signal_example, tiny_bert, tiny_dinov2
from torch import nn
from typer.testing import CliRunner

from medmm.encoders import IMAGE_ENCODERS, SIGNAL_ENCODERS, TABULAR_ENCODERS, TEXT_ENCODERS
from medmm.encoders.attention import filled
from medmm.encoders.recurrent import Recurrent
from medmm.encoders.several import Several
from medmm.encoders.whole import encode_whole, readable
from medmm.errors import ConfigError, DataError, MedmmError
from medmm.exporting import formats
from medmm.exporting.export import TOLERANCE, export_network, largest_difference, run_all
from medmm.exporting.formats import FORMATS, Format
from medmm.exporting.network import Encoding, Graph, NamedTensors, Network, named_tensors, trace, trace_model
from medmm.exporting.samples import random_studies
from medmm.files import digest_file
from medmm.fusion import FUSIONS
from medmm.inputs import INPUTS, Inputs
from medmm.losses.cross_entropy import CrossEntropy
from medmm.losses.focal import Focal
from medmm.model import DiagnosisModel, ModelSettings
from medmm.package import Package, save_package
from medmm.predict import predict
from medmm.quiet import quietly
from medmm.types import Array, Batch, Tokens
from medmm.workflows.cli import app

WIDTH = 16
ROUNDING = 1e-5
"""Largest difference of a logit in torch itself, where only the order of sums is another."""

IMAGES = {
    "densenet121": ((32, 32), 1),
    "resnet18": ((32, 32), 3),  # images a study
    "resnet50": ((16, 16, 16), 1),
    "i3_resnet152": ((16, 16, 16), 1),
    "efficientnet": ((32, 32), 1),
    "vit": ((16, 16, 16), 1),
    "swin": ((32, 32), 1),
    "huggingface": ((28, 42), 1),
}
"""Encoder -> size and number of images; those that take 2D and 3D are shown one of them, several images once."""

CHUNKS = {"recurrent": 2}
"""Text encoders that read several chunks."""

LIGHT = ("resnet18", "vit", "huggingface")
"""Image encoders that are traced in a second."""

SLOW = dict.fromkeys(("resnet1d", "spectrogram_cnn", "patch_transformer"), pytest.mark.slow)
"""Signal encoders whose parts are those of other encoders, which are traced in every run."""

COMBINATIONS = [
    (fusion, [*IMAGES, *LIGHT * 3][i], list(TABULAR_ENCODERS)[i % 2], list(TEXT_ENCODERS)[i % len(TEXT_ENCODERS)])
    for i, fusion in enumerate(FUSIONS)
]
"""Every fusion once, every encoder of every table at least once; after the first eight only light ones."""


def opened(image: str, table: str, text: str, folder: Path) -> Inputs:
    """Make three fitted inputs with these encoders."""
    size, images = IMAGES[image]
    eye: dict[str, object] = {"name": image, **SMALL.get(image, {})}
    if image == "huggingface":
        eye["model"] = tiny_dinov2(folder / "eye")
    reader: dict[str, object] = {"name": text, **SMALL.get(text, {})}
    if text == "huggingface":
        reader["model"] = tiny_bert(folder / "reader")
    cells = {"name": table, **SMALL.get(table, {})}
    settings: dict[str, dict[str, object]] = {
        "chest": {"kind": "image", "path": "dicom", "size": size, "images": images, "encoder": eye},
        "history": {
            "kind": "text",
            "table": "n.csv",
            "max_tokens": LENGTH,
            "chunks": CHUNKS.get(text, 1),
            "encoder": reader,
        },
        "labs": {
            "kind": "tabular",
            "table": "l.csv",
            "numeric": {"crp": {}, "wbc": {}},
            "categorical": ["ward"],
            "encoder": cells,
        },
    }
    found = {name: INPUTS.pick(str(one["kind"])).model_validate(one).open(name) for name, one in settings.items()}
    rows = [{"crp": str(i), "wbc": str(i * i), "ward": "ab"[i % 2]} for i in range(6)]
    raws: dict[str, list[object]] = {"chest": [], "history": list(NOTES), "labs": list(rows)}
    return {name: one.fit((str(i), raw) for i, raw in enumerate(raws[name])) for name, one in found.items()}


def model_of(inputs: Inputs, fusion: str, seed: int = 0) -> DiagnosisModel:
    """Build a network of three classes whose logits are large enough to differ, with weights of classes in its loss."""
    torch.manual_seed(seed)
    settings = ModelSettings.model_validate({"width": WIDTH, "fusion": {"name": fusion}})
    model = DiagnosisModel(settings, inputs, CrossEntropy("multilabel", [3.0, 0.5, 1.0])).eval()
    with torch.no_grad():
        for head in (model.head, *model.auxiliary.values()):
            head.weight.mul_(3)
    return model


@pytest.fixture(scope="module")
def lean(hospital: Hospital) -> Package:
    """A package of three inputs that is traced in a second."""
    inputs = {name: hospital.inputs[name] for name in ("chest", "history", "labs")}
    settings = ModelSettings.model_validate({"width": WIDTH, "fusion": {"name": "gated"}})
    torch.manual_seed(0)
    model = DiagnosisModel(settings, inputs, CrossEntropy("binary", [3.0])).eval()
    return Package("chest", hospital.cohort, hospital.target, inputs, settings, model, 1.5, (0.4,))


def spoken(model: DiagnosisModel, batch: Batch) -> Array:
    everything = frozenset(model.encoders)
    return predict(model, [batch], [everything]).logits[everything]


def check_program(graph: Graph, model: DiagnosisModel, inputs: Inputs) -> None:
    """Hold a traced network to the model: other numbers of studies and patterns of presence, no input, one input alone."""
    network = graph.program.module()
    assert graph.studies is None
    for count, seed in ((2, 1), (7, 2)):
        batch = random_studies(inputs, count, seed)
        assert not torch.stack(list(batch.present.values()))[:, 1].any()
        assert_equals(network(named_tensors(batch)), spoken(model, batch))
    batch = random_studies(inputs, 4, 3)
    for name in inputs:  # one input alone, and a single study
        alone = {other: torch.full((4,), other == name) for other in inputs}
        one = replace(batch, present=alone)
        assert_equals(network(named_tensors(one)), spoken(model, one))
    first = {name: one[:1] for name, one in named_tensors(batch).items()}
    assert_equals(network(first), spoken(model, batch)[:1])


def assert_equals(said: torch.Tensor, expected: Array) -> None:
    assert np.isfinite(expected).all()
    np.testing.assert_allclose(said.detach().numpy(), expected, atol=ROUNDING, rtol=0)


def traced(index: int, folder: Path) -> tuple[Graph, DiagnosisModel, Inputs]:
    fusion, *encoders = COMBINATIONS[index]
    inputs = opened(*encoders, folder)
    model = model_of(inputs, fusion)
    return trace_model(model, named_tensors(random_studies(inputs, 3)), {name: name for name in inputs}), model, inputs


def check_onnx(graph: Graph, model: DiagnosisModel, inputs: Inputs, folder: Path) -> None:
    """Hold the ONNX file of a graph to the model."""
    FORMATS["onnx"].write(graph, {}, folder / "network.onnx")
    run = FORMATS["onnx"].open(folder / "network.onnx")
    for count, seed in ((1, 0), (2, 1), (7, 2)):
        batch = random_studies(inputs, max(2, count), seed)
        tensors = {name: one[:count] for name, one in named_tensors(batch).items()}
        np.testing.assert_allclose(run(tensors), spoken(model, batch)[:count], atol=TOLERANCE, rtol=0)


def ids(indices: range) -> list[str]:
    return ["-".join(COMBINATIONS[index]) for index in indices]


def test_the_combinations_hold_every_entry_of_the_tables() -> None:
    for column, table in enumerate((FUSIONS, IMAGE_ENCODERS, TABULAR_ENCODERS, TEXT_ENCODERS)):
        assert {one[column] for one in COMBINATIONS} == set(table)


@pytest.mark.parametrize("index", range(len(COMBINATIONS)), ids=ids(range(len(COMBINATIONS))))
def test_every_encoder_and_fusion_is_one_graph(index: int, tmp_path: Path) -> None:
    graph, model, inputs = traced(index, tmp_path)
    check_program(graph, model, inputs)
    users = {node.name: len(node.users) for node in graph.program.graph.nodes if node.op == "placeholder"}
    assert all(users[name] for name in graph.program.graph_signature.user_inputs)  # no tensor is asked for in vain
    if index >= len(IMAGES):
        check_onnx(graph, model, inputs, tmp_path)


class Tokenless(nn.Module):
    """Fields -> the values of the tokens alone, of an encoder that is traced by itself."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, fields: dict[str, torch.Tensor]) -> torch.Tensor:
        values: torch.Tensor = self.network(fields).values
        return values


def assert_traced_alike(network: nn.Module, fields: dict[str, torch.Tensor]) -> None:
    whole = Tokenless(network).eval()
    with torch.no_grad():
        said = torch.export.export(whole, (fields,)).module()(fields)
        torch.testing.assert_close(said, whole(fields), atol=1e-6, rtol=1e-5)
        assert torch.equal(said == 0, whole(fields) == 0)


@pytest.mark.parametrize("places", [None, 3])
def test_pieces_that_are_not_there_are_zeros_in_a_graph_too(places: int | None) -> None:
    torch.manual_seed(0)

    class Flat(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, WIDTH)

        def forward(self, fields: Mapping[str, torch.Tensor]) -> Tokens:
            return Tokens(self.layer(fields["image"]), torch.ones(fields["image"].shape[:2], dtype=torch.bool))

    there = torch.tensor([[1, 0, 0], [1, 1, 1]], dtype=torch.uint8)
    image = torch.randn(2, 3, 5, 4)
    image[0, 2] = float("nan")
    assert_traced_alike(Several(Flat(), WIDTH, places), {"image": image, "there": there})


@pytest.mark.parametrize("cell", ["gru", "lstm"])
@pytest.mark.parametrize("layers", [1, 2])
def test_a_graph_reads_notes_from_both_ends_as_packing_does(cell: str, layers: int) -> None:
    torch.manual_seed(0)
    settings = Recurrent.model_validate({"cell": cell, "layers": layers, "hidden": 8})
    network = settings.build(WIDTH, {"tokens": 30})
    lengths = torch.tensor([1, 4, 7, 3])[:, None]
    mask = (torch.arange(7) < lengths).to(torch.uint8)
    assert_traced_alike(network, {"ids": torch.randint(0, 30, (4, 7), dtype=torch.int32), "mask": mask})


@pytest.mark.parametrize("name", [pytest.param(name, marks=SLOW.get(name, ())) for name in SIGNAL_ENCODERS])
def test_a_graph_reads_signals_of_any_number_of_studies(name: str) -> None:
    example = signal_example(name, SIZES[min(SIGNAL_ENCODERS[name].axes)])
    network = Encoding(example.build(), "ecg").eval()
    tensors = {"ecg.present": torch.tensor([True, False, True]), "ecg.signal": example.fields["signal"].clone()}
    tensors["ecg.signal"][1] = float("nan")
    graph = trace(network, tensors)
    assert graph.studies is None
    for count in (1, 2, 3):
        some = {key: one[:count] for key, one in tensors.items()}
        with torch.no_grad():
            said = graph.program.module()(some)
            torch.testing.assert_close(said, network(some), atol=ROUNDING, rtol=0)
            torch.testing.assert_close(said[0], example.build()(example.fields).values[0], atol=ROUNDING, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize("index", range(len(IMAGES)), ids=ids(range(len(IMAGES))))
def test_every_large_image_encoder_becomes_onnx(index: int, tmp_path: Path) -> None:
    graph, model, inputs = traced(index, tmp_path)
    check_onnx(graph, model, inputs, tmp_path)


def test_filler_of_an_absent_input_changes_no_bit(lean: Package) -> None:
    batch = random_studies(lean.inputs, 6, 4)
    tensors = named_tensors(batch)
    graph = trace(Network(lean.model), tensors)
    network = graph.program.module()
    said = network(tensors)
    for filler in (float("nan"), float("inf"), -3.0):
        other = dict(tensors)
        for name, has in batch.present.items():
            for key in (one for one in tensors if one.startswith(f"{name}.") and not one.endswith(".present")):
                values = tensors[key]
                wrong = filler if values.is_floating_point() else 99
                other[key] = torch.where(has.view(-1, *[1] * (values.ndim - 1)), values, wrong)
        assert not torch.equal(other["history.ids"], tensors["history.ids"])
        assert torch.equal(network(other), said)


def test_made_up_studies_have_the_shapes_and_types_of_real_ones(hospital: Hospital) -> None:
    real = hospital.batch(hospital.studies)
    made = random_studies(hospital.inputs, 3)
    for name, fields in made.inputs.items():
        if name == "ct":
            continue  # no study has one
        assert {key: (one.shape[1:], one.dtype) for key, one in fields.items()} == {
            key: (one.shape[1:], one.dtype) for key, one in real.inputs[name].items()
        }
    assert all(has[0] and not has[1] for has in made.present.values())


@pytest.mark.parametrize("name", FORMATS)
def test_a_package_is_written_described_and_as_good_as_the_model(
    name: str, hospital: Hospital, lean: Package, tmp_path: Path
) -> None:
    lean = replace(lean, digest="d" * 64)
    kind = FORMATS[name]
    path = tmp_path / f"network{kind.suffix}"
    whole = hospital.batch(hospital.studies[:20])
    real = replace(
        whole,
        inputs={key: whole.inputs[key] for key in lean.inputs},
        present={key: whole.present[key] for key in lean.inputs},
    )
    made = export_network(lean, name, path, real)
    assert made.difference <= ROUNDING
    assert (made.checked, made.studies, made.size) == (20, None, path.stat().st_size)

    said = json.loads(made.description.read_text())
    assert made.description.name == f"network{kind.suffix}.json"
    assert said["file"]["sha256"] == digest_file(path)
    assert said["model"]["digest"] == lean.digest
    assert said["answers"]["thresholds"] == [0.4]
    assert said["answers"]["temperature"] == 1.5
    shapes = {one["name"]: (one["type"], one["shape"]) for one in said["tensors"]}
    assert shapes["chest.image"] == ("float32", ["studies", 1, 32, 32])
    assert shapes["history.ids"] == ("int32", ["studies", 24])
    assert shapes["labs.present"] == ("bool", ["studies"])
    assert all(one["meaning"] for one in said["tensors"])
    assert list(shapes) == sorted(shapes)
    assert said["inputs"]["labs"]["state"] == hospital.inputs["labs"].state

    # By the description alone: from logits to probabilities.
    logits = kind.open(path)(named_tensors(real))
    probability = 1 / (1 + np.exp(-logits / said["answers"]["temperature"]))
    np.testing.assert_allclose(probability, lean.answer(spoken(lean.model, real)), atol=1e-5)

    # Nothing of this machine, nothing that would be unpickled.
    content = path.read_bytes()
    if name == "torch_export":
        with zipfile.ZipFile(path) as archive:
            parts = {one: archive.read(one) for one in archive.namelist()}
        assert not any(part.startswith(b"\x80") for one, part in parts.items() if "/weights/weight_" not in one)
        content = b"".join(parts.values())
    else:
        import onnx

        model = onnx.load(path)
        assert [one.name for one in model.graph.input] == list(shapes)
        assert model.opset_import[0].version == formats.OPSET
        assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "studies"
        assert {one.key: one.value for one in model.metadata_props}["medmm.digest"] == lean.digest
    assert lean.digest.encode() in content
    assert not re.search(rb"/[a-z]+/[^ ]*\.py|" + re.escape(str(tmp_path).encode()), content)


class Choosy(nn.Module):
    """An encoder whose way depends on what it sees."""

    def forward(self, fields: Mapping[str, torch.Tensor]) -> Tokens:
        image = fields["image"]
        values = image.flatten(2)[..., :WIDTH]
        if bool(image.mean() > 0.5):
            values = -values
        return Tokens(values, torch.ones(values.shape[:2], dtype=torch.bool))


class Counting(Choosy):
    """An encoder that is traced for one number of studies only."""

    def forward(self, fields: Mapping[str, torch.Tensor]) -> Tokens:
        image = fields["image"]
        values = torch.stack([image[row].flatten(1)[..., :WIDTH] for row in range(len(image))])
        return Tokens(values, torch.ones(values.shape[:2], dtype=torch.bool))


class Seeking(Choosy):
    """An encoder with a step that ONNX does not have."""

    def forward(self, fields: Mapping[str, torch.Tensor]) -> Tokens:
        values = fields["image"].flatten(2)[..., :WIDTH].contiguous()
        place = torch.searchsorted(torch.linspace(0, 1, 7), values).to(values.dtype)
        return Tokens(place, torch.ones(values.shape[:2], dtype=torch.bool))


def changed(lean: Package, encoder: nn.Module) -> Package:
    """Give the package with another encoder of the chest."""
    torch.manual_seed(0)
    model = DiagnosisModel(lean.model_settings, lean.inputs, CrossEntropy("binary", [3.0])).eval()
    model.encoders["chest"] = encoder
    return replace(lean, model=model)


@pytest.mark.parametrize(("encoder", "name"), [(Choosy(), "torch_export"), (Choosy(), "onnx"), (Seeking(), "onnx")])
def test_an_encoder_that_is_no_graph_is_refused_by_name(lean: Package, encoder: nn.Module, name: str, tmp_path: Path) -> None:
    path = tmp_path / f"network{FORMATS[name].suffix}"
    with pytest.raises(ConfigError, match=r"^the encoder 'resnet18' of the input 'chest' .*choose|score with") as reason:
        export_network(changed(lean, encoder), name, path)
    assert "\n" not in str(reason.value)
    assert list(tmp_path.iterdir()) == []


def test_a_fusion_that_is_no_graph_is_refused_by_name(lean: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fuse(given: Any) -> Any:
        if bool(given.pooled.sum() > 0):
            raise AssertionError("never traced")
        return given

    model = changed(lean, lean.model.encoders["chest"]).model
    monkeypatch.setattr(model.fusion, "fuse", fuse)
    with pytest.raises(ConfigError, match=r"^the fusion 'gated' cannot be written as one graph"):
        export_network(replace(lean, model=model), "torch_export", tmp_path / "network.pt2")


def test_a_network_that_fixes_the_number_of_studies_takes_one_at_a_time(lean: Package, tmp_path: Path) -> None:
    made = export_network(changed(lean, Counting()), "torch_export", tmp_path / "network.pt2")
    assert made.studies == 1
    assert made.difference <= ROUNDING
    assert all(one["shape"][0] == 1 for one in made.tensors)


def test_a_file_that_computes_something_else_gets_no_name(
    lean: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = FORMATS["torch_export"]

    def moved(path: Path) -> formats.Run:
        run = right.open(path)
        return lambda tensors: run(tensors) + 2e-4

    wrong = Format(right.suffix, right.said, (), right.write, moved)
    monkeypatch.setattr(FORMATS, "_entries", {"torch_export": wrong})
    path = tmp_path / "network.pt2"
    path.write_text("the old one")
    with pytest.raises(DataError, match=r"computes something else: a logit differs by 0\.0002"):
        export_network(lean, "torch_export", path)
    assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [("network.pt2", "the old one")]


def test_no_number_is_a_difference() -> None:
    with pytest.raises(DataError, match="nan"):
        largest_difference(np.full((2, 1), np.nan, np.float32), np.zeros((2, 1)))


def test_the_logits_are_freed_from_the_loss(lean: Package) -> None:
    torch.manual_seed(0)
    model = DiagnosisModel(lean.model_settings, lean.inputs, Focal("binary", [5.0], 2.0)).eval()
    batch = random_studies(lean.inputs, 5)
    said = trace(Network(model), named_tensors(batch)).program.module()(named_tensors(batch)).detach().numpy()
    np.testing.assert_allclose(said, spoken(model, batch), atol=ROUNDING)
    raw = model(batch).logits.detach().numpy()
    assert np.abs(said - raw).min() > 0.5  # the weight 5 alone moves a logit by 1.6


def test_what_cannot_be_written_is_said_before_anything_is_done(
    lean: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match=r"ends in \.onnx"):
        export_network(lean, "onnx", tmp_path / "network.pt2")
    with pytest.raises(ConfigError, match="did you mean 'onnx'"):
        export_network(lean, "onx", tmp_path / "network.onnx")
    monkeypatch.setattr(formats, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"needs onnx, onnxscript, onnxruntime: pip install 'medmm\[export\]'"):
        export_network(lean, "onnx", tmp_path / "network.onnx")


def test_weights_beyond_what_a_file_holds_are_refused(lean: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "ONNX_LIMIT_BYTES", 1000)
    with pytest.raises(ConfigError, match="take the format torch_export"):
        export_network(lean, "onnx", tmp_path / "network.onnx")


def test_rows_that_are_not_there_are_filled_with_what_any_encoder_reads() -> None:
    has = torch.tensor([True, False])
    nothing = torch.tensor([[0.5, float("nan")], [float("nan"), float("inf")]])
    assert torch.equal(readable(torch.tensor([[7, 0], [7, 0]]), has), torch.tensor([[7, 0], [1, 1]]))
    assert torch.equal(readable(nothing[:1].expand(2, 2), has)[1], torch.zeros(2))
    made = encode_whole(lambda fields: Tokens(fields["x"][:, None] / 0.0, torch.ones(2, 1) > 0), {"x": nothing}, has)
    assert torch.equal(made.mask, torch.tensor([[True], [False]]))
    assert torch.equal(filled(made).values[1], torch.zeros(1, 2))


def test_studies_run_so_many_at_once_as_the_graph_takes() -> None:
    seen: list[int] = []

    def run(tensors: NamedTensors) -> Array:
        seen.append(len(tensors["x"]))
        return np.asarray(tensors["x"].numpy())

    tensors = {"x": torch.arange(5.0)[:, None]}
    assert run_all(run, tensors, 1).tolist() == [[0.0], [1.0], [2.0], [3.0], [4.0]]
    assert run_all(run, tensors, None).shape == (5, 1)
    assert seen == [1, 1, 1, 1, 1, 5]


def test_warnings_go_unsaid_and_errors_do_not(caplog: pytest.LogCaptureFixture) -> None:
    with quietly():
        warnings.warn("of torch's own", FutureWarning, stacklevel=1)
        logging.getLogger("torch.onnx").warning("of torch's own")
        logging.getLogger("torch.onnx").error("this one")
    assert caplog.messages == ["this one"]
    logging.getLogger("torch.onnx").warning("afterwards")
    assert caplog.messages == ["this one", "afterwards"]
    with pytest.warns(FutureWarning, match="afterwards"):
        warnings.warn("afterwards", FutureWarning, stacklevel=1)


@pytest.mark.parametrize(("name", "suffix"), [("onnx", ".onnx"), ("torch_export", ".pt2")])
def test_the_command_says_what_was_written_and_nothing_else(name: str, suffix: str, lean: Package, tmp_path: Path) -> None:
    saved = tmp_path / "package"
    save_package(lean, saved)
    out = tmp_path / f"network{suffix}"
    ran = CliRunner().invoke(app, ["export", str(saved), "--format", name, "--out", str(out)])
    assert ran.exit_code == 0, ran.output
    assert ran.stderr == ""
    assert out.is_file()
    assert re.search(r"largest difference of a logit from the model's: \d\.\de[-+]\d+ over 8 made-up studies", ran.stdout)
    assert "any number of studies" in ran.stdout
    assert re.search(r"chest\.image +float32 +studies x 1 x 32 x 32", ran.stdout)
    assert len(ran.stdout.splitlines()) == 2 + 2 + 9 + 4


def test_the_command_refuses_in_one_line(saved: Path, tmp_path: Path) -> None:
    ran = CliRunner().invoke(app, ["export", str(saved), "--format", "tflite", "--out", str(tmp_path / "network.onnx")])
    assert ran.exit_code == 1
    assert ran.stderr.startswith("medmm: no format of exports is called 'tflite'")
    assert len(ran.stderr.splitlines()) == 1
    assert issubclass(ConfigError, MedmmError)
