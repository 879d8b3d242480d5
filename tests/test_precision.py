"""Reduced precision and compiling: what really changes in a network, how far answers move, and what is refused."""

import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Hospital
from test_exporting import COMBINATIONS, IMAGES, WIDTH, model_of, opened, spoken
from torch import nn

from medmm.encoders.attention import attend, blocks
from medmm.encoders.tuning import Tuning, add_adapters
from medmm.errors import ConfigError, DataError
from medmm.exporting.samples import random_studies
from medmm.fusion import FUSIONS
from medmm.inputs import Inputs
from medmm.model import DiagnosisModel
from medmm.package import Package, load_package
from medmm.predict import predict, subsets
from medmm.scoring import int8, precision
from medmm.scoring.engine import Options, score_stream
from medmm.scoring.int8 import CHUNK, Int8Linear, products_are_exact, quantise
from medmm.scoring.precision import (
    GOLDEN_TOLERANCES,
    PRECISIONS,
    Bfloat16,
    Effect,
    compare_answers,
    make_ready,
    measure_effect,
    prepare_model,
)
from medmm.scoring.run import model_key
from medmm.types import Batch, Tokens

CPU = torch.device("cpu")
REDUCED = ("bf16", "int8")
BOUND = {"bf16": 0.1, "int8": 0.1}
"""Largest difference of a logit that these small networks are let have; logits lie between -3 and 3."""


def prepared(model: DiagnosisModel, name: str) -> DiagnosisModel:
    return prepare_model(model, name, compiled=False, device=CPU)


def dtypes_of_products(network: nn.Module, run: Callable[[], object]) -> set[tuple[torch.dtype, torch.dtype]]:
    """Give the types of what goes in and out of linear layers and convolutions while something runs."""
    seen: set[tuple[torch.dtype, torch.dtype]] = set()

    def watch(module: nn.Module, given: tuple[torch.Tensor, ...], made: torch.Tensor) -> None:
        seen.add((given[0].dtype, made.dtype))

    layers = [one for one in network.modules() if isinstance(one, nn.Linear | nn.Conv2d | nn.Conv3d)]
    handles = [one.register_forward_hook(watch) for one in layers]
    run()
    for handle in handles:
        handle.remove()
    return seen


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    return opened("vit", "ft_transformer", "recurrent", tmp_path_factory.mktemp("several"))


def test_fp32_is_the_model_itself(package: Package) -> None:
    assert prepared(package.model, "fp32") is package.model


@pytest.mark.parametrize("name", REDUCED)
def test_the_model_itself_stays_as_it_is(name: str, several: Inputs) -> None:
    model = model_of(several, "transformer")
    batch = random_studies(several, 4)
    before, kinds = spoken(model, batch), [type(one) for one in model.modules()]
    prepared(model, name)
    assert np.array_equal(spoken(model, batch), before)
    assert [type(one) for one in model.modules()] == kinds


@pytest.mark.parametrize("name", REDUCED)
@pytest.mark.parametrize("fusion", FUSIONS)
def test_every_fusion_answers_nearly_the_same(name: str, fusion: str, several: Inputs) -> None:
    model = model_of(several, fusion)
    batch = random_studies(several, 9)
    logits = spoken(prepared(model, name), batch)
    difference = np.abs(logits - spoken(model, batch)).max()
    assert logits.dtype == np.float32
    assert 0 < difference < BOUND[name]


@pytest.mark.parametrize("name", REDUCED)
@pytest.mark.parametrize("index", range(len(IMAGES)), ids=list(IMAGES))
def test_every_encoder_answers_nearly_the_same(name: str, index: int, tmp_path: Path) -> None:
    inputs = opened(*COMBINATIONS[index][1:], tmp_path)
    model = model_of(inputs, "transformer")
    batch = random_studies(inputs, 6)
    difference = np.abs(spoken(prepared(model, name), batch) - spoken(model, batch)).max()
    assert 0 < difference < BOUND[name]


def test_bf16_computes_in_bfloat16_and_ends_in_32_bits(several: Inputs) -> None:
    model = model_of(several, "transformer")
    batch = random_studies(several, 4)
    whole = prepared(model, "bf16")
    for part in (*whole.encoders.values(), whole.fusion):
        out = {made for _, made in dtypes_of_products(part, lambda: spoken(whole, batch))}
        assert out == {torch.bfloat16}, part
    assert dtypes_of_products(whole.head, lambda: spoken(whole, batch)) == {(torch.float32, torch.float32)}
    with torch.inference_mode():
        assert all(one.values.dtype == torch.float32 for one in whole.encode(batch).values())
    plain = dtypes_of_products(model, lambda: spoken(model, batch))
    assert plain == {(torch.float32, torch.float32)}


def test_bf16_reaches_into_blocks_that_torch_would_fuse() -> None:
    torch.manual_seed(0)

    class Attending(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.blocks = blocks(WIDTH, 1, 4, 0.0)

        def forward(self, tokens: Tokens) -> Tokens:
            return attend(self.blocks, tokens)

    network = Attending().eval()  # watched by no hook: one would keep torch from fusing
    tokens = Tokens(torch.randn(2, 5, WIDTH), torch.ones(2, 5, dtype=torch.bool))
    with torch.inference_mode():
        plain = network(tokens).values
        made = Bfloat16(network, CPU)(tokens)
    assert isinstance(made, Tokens)
    assert made.values.dtype == torch.float32
    assert 1e-4 < (made.values - plain).abs().max() < 0.1


def test_int8_replaces_every_large_linear_layer_but_the_heads(several: Inputs) -> None:
    model = model_of(several, "transformer")
    whole = prepared(model, "int8")
    left = {
        name
        for name, one in whole.named_modules()
        if type(one) is nn.Linear and min(one.in_features, one.out_features) >= int8.FEWEST
    }
    assert left == set()
    replaced = {name for name, one in whole.named_modules() if isinstance(one, Int8Linear)}
    assert {"fusion.blocks.layers.0.linear1", "encoders.chest.project"} <= replaced
    assert type(whole.head) is nn.Linear
    assert whole.encoders["chest"].project.weight_int8.dtype == torch.int8


def test_int8_is_as_near_as_its_steps_allow() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(64, 32)
    values = torch.randn(3, 5, 64)
    made = Int8Linear(layer)(values)
    # By hand: a weight is off by at most half a step of its row, a value by half a step of its vector.
    step_weight = layer.weight.abs().amax(1) / 127 / 2  # (O,)
    step_value = values.abs().amax(-1, keepdim=True) / 127 / 2
    bound = values.abs().sum(-1, keepdim=True) * step_weight + step_value * (layer.weight.abs() + step_weight[:, None]).sum(1)
    difference = (made - layer(values)).abs()
    assert (difference <= bound + 1e-5).all()
    assert difference.max() > 1e-4
    assert made.shape == (3, 5, 32)


def test_int8_of_a_vector_depends_on_no_other() -> None:
    torch.manual_seed(0)
    plain = nn.Linear(64, 32)
    layer = Int8Linear(plain)
    values = torch.randn(CHUNK + 9, 64)
    together = layer(values)
    loud = values.clone()
    loud[1:] *= 1000
    assert torch.equal(layer(loud)[0], together[0])
    assert torch.equal(layer(values[:1])[0], together[0])
    assert torch.equal(layer(values.flip(0)).flip(0), together)
    with warnings.catch_warnings():  # torch's own has one scale for all, and says twice that it is deprecated
        warnings.simplefilter("ignore")
        theirs = torch.ao.quantization.quantize_dynamic(nn.Sequential(plain), {nn.Linear}, dtype=torch.qint8)
        assert not torch.equal(theirs(loud[:9])[0], theirs(values[:9])[0])
        assert (together - plain(values)).abs().mean() < 0.8 * (theirs(values) - plain(values)).abs().mean()


def test_int8_keeps_nothing_at_nothing_and_no_number_at_its_vector() -> None:
    layer = nn.Linear(32, 16)
    values = torch.zeros(3, 32)
    values[1] = float("nan")
    made = Int8Linear(layer)(values)
    assert torch.equal(made[0], layer.bias)
    assert made[1].isnan().all()
    assert torch.equal(made[2], layer.bias)


def test_int8_leaves_adapters_and_the_projections_of_attention() -> None:
    adapted = nn.Sequential(nn.Linear(32, 32))
    add_adapters(adapted, Tuning(learn="lora", rank=32))
    backbone = nn.Sequential(adapted, nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)).eval()
    values = torch.randn(2, 3, 32)
    with torch.inference_mode():
        before = backbone(values)
        assert quantise(backbone) == 3
        assert 0 < (backbone(values) - before).abs().max() < 0.2
    assert {name for name, one in backbone.named_modules() if isinstance(one, Int8Linear)} == {
        "0.0.base_layer",
        "1.linear1",
        "1.linear2",
    }


def test_int8_is_refused_where_it_would_do_nothing_or_wrong(
    several: Inputs, package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert products_are_exact()
    monkeypatch.setattr(int8, "FEWEST", 10_000)
    with pytest.raises(ConfigError, match="no layer of this network"):
        prepared(package.model, "int8")
    monkeypatch.setattr(int8, "FEWEST", 16)
    saturated = torch._int_mm
    monkeypatch.setattr(torch, "_int_mm", lambda one, other: saturated(one, other).clamp(-32768, 32767))
    assert not products_are_exact()
    with pytest.raises(ConfigError, match="does not multiply whole numbers"):
        prepared(package.model, "int8")


def test_a_name_that_is_no_precision_is_refused(package: Package) -> None:
    with pytest.raises(ConfigError, match="no precision is called 'fp16'"):
        prepared(package.model, "fp16")


@pytest.mark.parametrize("name", REDUCED)
def test_the_effect_counts_differences_and_decisions(name: str, hospital: Hospital, package: Package) -> None:
    batch = hospital.batch(hospital.studies[:24])
    whole = prepared(package.model, name)
    everything = frozenset(package.inputs)
    ours, theirs = (package.answer(predict(one, [batch], [everything]).logits[everything]) for one in (whole, package.model))
    threshold = float((ours[5, 0] + theirs[5, 0]) / 2)  # so that at least the decision of study 5 changes
    moved = replace(package, thresholds=(threshold,))
    effect = measure_effect(moved, whole, [batch])
    assert effect.studies == 24
    assert effect.largest == pytest.approx(np.abs(ours - theirs).max())
    assert effect.mean == pytest.approx(np.abs(ours - theirs).mean())
    assert effect.changed == int(((ours >= threshold) != (theirs >= threshold)).sum()) > 0
    assert str(effect).endswith(f"decisions changed in {effect.changed} of 24 studies")


def test_no_effect_is_none(hospital: Hospital, package: Package) -> None:
    batch = hospital.batch(hospital.studies[:5])
    assert measure_effect(package, package.model, [batch]) == Effect(5, 0.0, 0.0, 0)
    assert measure_effect(package, package.model, []) == Effect(0, 0.0, 0.0, 0)


def test_a_logit_that_is_no_number_is_no_effect(package: Package) -> None:
    with pytest.raises(DataError, match="no number"):
        compare_answers(package, np.array([[np.nan]]), np.array([[0.5]]))


@pytest.mark.slow
def test_compiled_answers_nearly_the_same(several: Inputs) -> None:
    model = model_of({"labs": several["labs"]}, "gated")
    whole = prepare_model(model, "fp32", compiled=True, device=CPU)
    compiled = [part for part in (*whole.encoders.values(), whole.fusion) if part._compiled_call_impl is not None]
    assert len(compiled) == 2
    batch = random_studies({"labs": several["labs"]}, 6)
    np.testing.assert_allclose(spoken(whole, batch), spoken(model, batch), atol=1e-4)
    assert all(part._compiled_call_impl is None for part in (*model.encoders.values(), model.fusion))


def test_every_subset_of_inputs_is_compiled_in_every_thread(
    package: Package, hospital: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.compiler.reset()
    monkeypatch.setattr(torch._dynamo.config._config["recompile_limit"], "default", 2)  # type: ignore[attr-defined]
    forms: list[int] = []

    def counted(graph: torch.fx.GraphModule, _: object) -> Callable[..., object]:
        forms.append(len(graph.graph.nodes))
        return graph.forward

    true = torch.nn.Module.compile
    monkeypatch.setattr(torch.nn.Module, "compile", lambda part, **how: true(part, backend=counted, **how))
    monkeypatch.setattr(precision, "check_compiler", lambda device: None)
    model = prepare_model(package.model, "fp32", compiled=True, device=CPU)
    ready = replace(package, model=model, tile=2)
    asked = {frozenset(one) for one in subsets(list(package.inputs))}
    studies = [study for study in hospital.studies if frozenset(study.evidence) in asked][:16]
    fused = {some & frozenset(study.evidence) for some in asked for study in studies}
    assert len(fused) > 6
    outcomes = [one for some in score_stream(ready, studies, Options(workers=0, compiled=True)) for one in some]
    assert not any(one.reason for one in outcomes)
    assert len(forms) >= len(fused) + len(package.inputs)
    torch.compiler.reset()


def test_a_network_that_cannot_be_compiled_is_refused_in_one_line(
    package: Package, hospital: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = prepared(package.model, "bf16")

    def predict_or_fail(model: DiagnosisModel, *given: object) -> object:
        if model is whole:
            raise torch._dynamo.exc.InternalTorchDynamoError("a page of text\nand more")
        return predict(model, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(precision, "predict", predict_or_fail)
    with pytest.raises(ConfigError, match=r"cannot be compiled \(InternalTorchDynamoError\): leave --compile out") as reason:
        measure_effect(package, whole, [hospital.batch(hospital.studies[:2])])
    assert "\n" not in str(reason.value)


def test_without_a_compiler_one_line_says_the_repair() -> None:
    code = (
        "import torch\n"
        "from medmm.errors import ConfigError\n"
        "from medmm.scoring.compiling import check_compiler\n"
        "try:\n    check_compiler(torch.device('cpu'))\n"
        "except ConfigError as reason:\n    print(reason)\n"
    )
    environment = {**os.environ, "PATH": "/nowhere", "CXX": "no-such-compiler", "TORCHINDUCTOR_FORCE_DISABLE_CACHES": "1"}
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert ran.stdout.startswith("torch.compile does not work on this machine (")
    assert "apt-get install g++ python3-dev, or leave --compile out" in ran.stdout
    assert len(ran.stdout.splitlines()) == 1


def test_a_batch_of_every_number_of_studies_is_taken(several: Inputs) -> None:
    model = model_of(several, "transformer")
    for name in PRECISIONS:
        whole = prepared(model, name)
        for count in (2, 3):
            batch = random_studies(several, count)
            first = Batch(
                {key: {field: one[:1] for field, one in fields.items()} for key, fields in batch.inputs.items()},
                {key: has[:1] for key, has in batch.present.items()},
                None,
                batch.rows[:1],
            )
            np.testing.assert_allclose(spoken(whole, first), spoken(whole, batch)[:1], atol=0.02)
    assert precision.PRECISIONS.keys() == {"fp32", "bf16", "int8"}


@pytest.mark.parametrize(("numbers", "plainly"), [("fp32", True), ("bf16", False)])
def test_rows_say_in_what_numbers_they_were_computed(saved: Path, hospital: Hospital, numbers: str, plainly: bool) -> None:
    package = load_package(saved)
    options = Options(workers=0, precision=numbers)
    ready, apart = make_ready(package, options)
    assert apart < GOLDEN_TOLERANCES.get(numbers, 1e-4)
    studies = [study for study in hospital.studies if study.evidence][:5]
    rows, plain = (
        [one.row for some in score_stream(given, studies, Options(workers=0)) for one in some] for given in (ready, package)
    )
    assert {row["computed_in"] for row in rows} == {numbers}
    assert ([row["probability_pneumonia"] for row in rows] == [row["probability_pneumonia"] for row in plain]) == plainly
    assert model_key(package, options) == (package.digest if plainly else f"{package.digest}, in {numbers}")


def test_a_machine_that_computes_something_else_is_refused(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = load_package(saved)
    with torch.no_grad():
        package.model.head.bias += 0.01
    with pytest.raises(DataError, match="computes something else"):
        make_ready(package, Options())
