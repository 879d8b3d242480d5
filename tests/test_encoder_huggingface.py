"""Encoders from Hugging Face folders: what they see and give, how they travel, and what is refused."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from test_encoders import LENGTH, WIDTH, saved, text_example, tiny_bert, tiny_dinov2
from transformers import (
    AutoModel,
    AutoTokenizer,
    CLIPConfig,
    CLIPModel,
    ConvNextConfig,
    ConvNextModel,
    Dinov2WithRegistersConfig,
    Dinov2WithRegistersModel,
    PreTrainedModel,
    ViTConfig,
    ViTMAEConfig,
    ViTMAEModel,
    ViTModel,
)

from medmm.encoders.adapted import Adapted
from medmm.encoders.huggingface import build_backbone
from medmm.encoders.huggingface_image import HuggingFaceImage
from medmm.encoders.huggingface_text import HuggingFaceText
from medmm.errors import ConfigError
from medmm.inputs.note_tokens import NoteTokenizer

SIZE = (28, 42)


def built(settings: HuggingFaceImage, channels: int = 1, size: tuple[int, ...] = SIZE) -> Adapted:
    made = settings.build(WIDTH, channels, size)
    assert isinstance(made, Adapted)
    settings.initialise(made)
    return made.eval()


def seen(*size: int, channels: int = 1) -> torch.Tensor:
    return torch.rand(2, channels, *size, generator=torch.Generator().manual_seed(0))


def tiny_vit(folder: Path) -> str:
    config = ViTConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16, image_size=32, patch_size=16
    )
    return saved(ViTModel(config), folder)


def tiny_convnext(folder: Path) -> str:
    return saved(ConvNextModel(ConvNextConfig(hidden_sizes=[8, 8, 16, 16], depths=[1, 1, 2, 1])), folder)


def tiny_registers(folder: Path) -> str:
    config = Dinov2WithRegistersConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, mlp_ratio=1, image_size=28, patch_size=14
    )
    return saved(Dinov2WithRegistersModel(config), folder)


def tiny_clip(folder: Path) -> str:
    part = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    vision = {**part, "image_size": 32, "patch_size": 16}
    return saved(CLIPModel(CLIPConfig(text_config={**part, "vocab_size": 99}, vision_config=vision)), folder)


def pixels(grey: torch.Tensor, mean: list[float], std: list[float]) -> torch.Tensor:
    """Repeat and scale an image the long way."""
    return torch.cat([(grey - m) / s for m, s in zip(mean, std, strict=True)], dim=1)


IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])


def test_tokens_are_those_of_the_pretrained_model_for_the_image_scaled_as_it_was_for_imagenet(tmp_path: Path) -> None:
    made = built(HuggingFaceImage(model=tiny_dinov2(tmp_path)))
    hidden = made.hidden({"image": seen(*SIZE)})
    model: PreTrainedModel = AutoModel.from_pretrained(tmp_path)
    expected = model.eval()(pixel_values=pixels(seen(*SIZE), *IMAGENET)).last_hidden_state
    # By hand: 2 x 3 patches of 14 and the class token.
    assert hidden.values.shape == (2, 7, 16)
    torch.testing.assert_close(hidden.values, expected)


def test_it_is_scaled_as_the_model_says(tmp_path: Path) -> None:
    said = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.1, 0.2, 0.3]}
    folder = tiny_dinov2(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(said))
    hidden = built(HuggingFaceImage(model=folder)).hidden({"image": seen(*SIZE)})
    model: PreTrainedModel = AutoModel.from_pretrained(tmp_path)
    expected = model.eval()(pixel_values=pixels(seen(*SIZE), *said.values())).last_hidden_state
    torch.testing.assert_close(hidden.values, expected)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({**said, "do_normalize": False}))
    hidden = built(HuggingFaceImage(model=folder)).hidden({"image": seen(*SIZE)})
    expected = model(pixel_values=pixels(seen(*SIZE), [0, 0, 0], [1, 1, 1])).last_hidden_state
    torch.testing.assert_close(hidden.values, expected)


@pytest.mark.parametrize("content", ["{", "[]", '{"image_mean": "grey"}', '{"image_std": [0, 1, 1]}', '{"image_mean": [1, 2]}'])
def test_a_scale_that_cannot_be_read_is_refused(tmp_path: Path, content: str) -> None:
    settings = HuggingFaceImage(model=tiny_dinov2(tmp_path))
    (tmp_path / "preprocessor_config.json").write_text(content)
    with pytest.raises(ConfigError, match=r"preprocessor_config\.json"):
        settings.build(WIDTH, 1, SIZE)


@pytest.mark.parametrize(
    ("make", "size", "tokens"),
    [(tiny_vit, (48, 64), 13), (tiny_convnext, (64, 96), 6), (tiny_registers, SIZE, 7), (tiny_clip, (48, 64), 13)],
)
def test_other_architectures_and_other_sizes_than_the_pretrained_one_are_read(
    tmp_path: Path, make: object, size: tuple[int, int], tokens: int
) -> None:
    settings = HuggingFaceImage(model=make(tmp_path), tuning={"learn": "lora"})  # type: ignore[operator]
    made = built(settings, size=size)
    assert made.hidden({"image": seen(*size)}).values.shape == (2, tokens, 16)
    again = settings.portable().build(WIDTH, 1, size)
    again.load_state_dict(made.state_dict())
    assert torch.equal(again.eval()({"image": seen(*size)}).values, made({"image": seen(*size)}).values)


def test_registers_are_left_out_and_the_class_token_stays(tmp_path: Path) -> None:
    made = built(HuggingFaceImage(model=tiny_registers(tmp_path)))
    model: PreTrainedModel = AutoModel.from_pretrained(tmp_path)
    whole = model.eval()(pixel_values=pixels(seen(*SIZE), *IMAGENET)).last_hidden_state  # class, 4 registers, 6 patches
    torch.testing.assert_close(made.hidden({"image": seen(*SIZE)}).values, whole[:, [0, 5, 6, 7, 8, 9, 10]])


def test_colour_is_kept(tmp_path: Path) -> None:
    made = built(HuggingFaceImage(model=tiny_dinov2(tmp_path)), channels=3)
    grey = seen(*SIZE)
    colour = grey.repeat(1, 3, 1, 1)
    torch.testing.assert_close(made({"image": colour}).values, made({"image": grey}).values)
    colour[:, 0] = 0
    assert not torch.allclose(made({"image": colour}).values, made({"image": grey}).values)


def test_a_package_holds_the_architecture_and_needs_no_folder(tmp_path: Path) -> None:
    folder = tmp_path / "secret" / "rad-dino"
    folder.mkdir(parents=True)
    settings = HuggingFaceImage(model=tiny_dinov2(folder))
    made = built(settings)
    kept = settings.portable().model_dump_json()
    assert "secret" not in kept
    assert '"rad-dino"' in kept
    for file in folder.iterdir():
        file.unlink()
    again = HuggingFaceImage.model_validate_json(kept)
    assert again.portable() == again
    copy = again.build(WIDTH, 1, SIZE)
    copy.load_state_dict(made.state_dict())
    assert torch.equal(copy.eval()({"image": seen(*SIZE)}).values, made({"image": seen(*SIZE)}).values)


def test_the_state_of_a_text_encoder_names_no_path(tmp_path: Path) -> None:
    settings = HuggingFaceText(model=tiny_bert(tmp_path))
    assert str(tmp_path) not in json.dumps(settings.fit(["fever"], ["1"], LENGTH))
    assert settings.portable().model == tmp_path.name


def test_volumes_and_sizes_that_are_no_multiple_of_the_patch_are_refused(tmp_path: Path) -> None:
    settings = HuggingFaceImage(model=tiny_dinov2(tmp_path))
    with pytest.raises(ConfigError, match="2D images only"):
        settings.build(WIDTH, 1, (28, 28, 28))
    with pytest.raises(ConfigError, match=r"\(28, 40\) is not a multiple of the model's patch 14"):
        settings.build(WIDTH, 1, (28, 40))


def test_a_model_that_hides_patches_by_chance_is_refused(tmp_path: Path) -> None:
    config = ViTMAEConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=32, patch_size=16
    )
    with pytest.raises(ConfigError, match="hides a random part"):
        HuggingFaceImage(model=saved(ViTMAEModel(config), tmp_path)).build(WIDTH, 1, (32, 32))


def spoil(folder: Path, how: str) -> None:
    """Damage a model folder in one way."""
    weights, config = folder / "model.safetensors", folder / "config.json"
    if how == "code":
        said = json.loads(config.read_text())
        (folder / "own.py").write_text(f"from pathlib import Path\nPath({str(folder / 'code ran')!r}).touch()\n")
        names = {"AutoConfig": "own.Config", "AutoModel": "own.Model"}
        config.write_text(json.dumps({**said, "model_type": "own", "auto_map": names}))
    elif how == "no config":
        config.unlink()
    elif how == "pickle":
        torch.save(load_file(weights), folder / "pytorch_model.bin")
        weights.unlink()
    elif how == "broken":
        weights.write_bytes(b"\x00" * 40)
    elif how == "incomplete":
        some = load_file(weights)
        some.pop(next(name for name in some if "layer.1" in name))
        save_file(some, weights, {"format": "pt"})
    elif how == "other shapes":
        some = load_file(weights)
        name = next(name for name in some if "layer.1" in name and some[name].ndim == 2)
        save_file({**some, name: torch.ones(3, 3)}, weights, {"format": "pt"})


@pytest.mark.parametrize("how", ["code", "no config", "pickle", "broken", "incomplete", "other shapes"])
@pytest.mark.parametrize("kind", ["image", "text"])
def test_a_folder_that_is_not_sound_is_refused_with_the_repair_and_without_its_path(
    tmp_path: Path, kind: str, how: str
) -> None:
    if kind == "image":
        tiny_dinov2(tmp_path)
        spoil(tmp_path, how)
        image = HuggingFaceImage(model=str(tmp_path))
        with pytest.raises(ConfigError, match=r"encoder\.model .*: give a folder") as said:
            image.initialise(image.build(WIDTH, 1, SIZE))
    else:
        tiny_bert(tmp_path)
        spoil(tmp_path, how)
        text = HuggingFaceText(model=str(tmp_path))
        with pytest.raises(ConfigError, match=r"encoder\.model .*: give a folder") as said:
            text.initialise(text.build(WIDTH, text.fit(["fever"], ["1"], LENGTH)))
    assert str(tmp_path) not in str(said.value)
    assert not (tmp_path / "code ran").exists()


def test_a_folder_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    for settings in (HuggingFaceImage(model=str(tmp_path / "no")), HuggingFaceText(model=str(tmp_path / "no"))):
        with pytest.raises(ConfigError, match="give a folder") as said:
            settings.build(WIDTH, 1, SIZE) if isinstance(settings, HuggingFaceImage) else settings.fit([], [], 8)
        assert str(tmp_path) not in str(said.value)


def test_pretrained_weights_stay_as_they_are_where_nothing_is_said(tmp_path: Path) -> None:
    for given in ({}, {"tuning": {"layer_decay": 0.8}}):
        assert HuggingFaceImage.model_validate({"model": "m", **given}).tuning.learn == "none"
        assert HuggingFaceText.model_validate({"model": "m", **given}).tuning.learn == "none"
    assert HuggingFaceImage.model_validate({"model": "m", "tuning": {"learn": "all"}}).tuning.learn == "all"


@pytest.mark.parametrize("name", ["huggingface", "real"])
def test_a_note_is_read_as_the_model_itself_reads_it(tmp_path: Path, name: str) -> None:
    example = text_example(name, tmp_path)
    made = example.build()
    assert isinstance(made, Adapted)
    example.settings.initialise(made)
    assert isinstance(example.settings, HuggingFaceText)
    folder = example.settings.model
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder)
    given = tokenizer("no fever and pain", return_tensors="pt")
    expected = model.eval()(**given).last_hidden_state[0]
    fields = NoteTokenizer(example.state).fields("no fever and pain", 1, mark=False)
    hidden = made.hidden({key: torch.from_numpy(fields[key])[None] for key in ("ids", "mask")})
    torch.testing.assert_close(hidden.values[0][hidden.mask[0]], expected, atol=1e-4, rtol=1e-4)


def test_a_real_model_knows_that_two_words_are_close(tmp_path: Path) -> None:
    example = text_example("real", tmp_path)
    made = example.build()
    assert isinstance(made, Adapted)
    example.settings.initialise(made)

    def mean(note: str) -> torch.Tensor:
        fields = NoteTokenizer(example.state).fields(note, 1, mark=False)
        hidden = made.hidden({key: torch.from_numpy(fields[key])[None] for key in ("ids", "mask")})
        return hidden.values[0][hidden.mask[0]].mean(0)

    near = torch.cosine_similarity(mean("pneumonia"), mean("lung infection"), dim=0)
    far = torch.cosine_similarity(mean("pneumonia"), mean("ankle fracture"), dim=0)
    assert near > far + 0.1


def test_an_architecture_brings_neither_code_nor_kernels_along() -> None:
    foreign = {
        "auto_map": {"AutoModel": "planted.Model"},
        "attn_implementation": "planted/kernel",
        "_attn_implementation": "planted/kernel",
        "_attn_implementation_internal": "planted/kernel",
        "experts_implementation": "planted/kernel",
        "trust_remote_code": True,
    }
    plain = {**ViTConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16).to_dict(), **foreign}
    network = build_backbone(plain)
    assert isinstance(network, ViTModel)
    assert network.config._attn_implementation in {"sdpa", "eager"}
    assert not hasattr(network.config, "auto_map")


@pytest.mark.parametrize("name", ["use_pretrained_backbone", "use_timm_backbone", "quantization_config"])
@pytest.mark.parametrize("nested", [False, True])
def test_an_architecture_that_would_fetch_something_is_refused(name: str, nested: bool) -> None:
    asks = {name: {"bits": 4} if name == "quantization_config" else True}
    with pytest.raises(ConfigError, match=name):
        build_backbone({"model_type": "vit", **({"text_config": asks} if nested else asks)})


def test_only_what_names_nothing_outside_the_package_is_portable(tmp_path: Path) -> None:
    settings = HuggingFaceImage(model=tiny_vit(tmp_path / "vit"))
    assert not settings.is_portable()
    assert settings.portable().is_portable()
    assert not settings.portable().model_copy(update={"architecture": None}).is_portable()
    assert not settings.portable().model_copy(update={"model": "somebody/model"}).is_portable()
    text = HuggingFaceText(model="/models/bert")
    assert not text.is_portable()
    assert text.portable().is_portable()
