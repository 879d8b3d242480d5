"""What of a backbone learns, how fast and from when on."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_encoder_weights import shaken
from test_encoders import DIMENSIONS, tiny_dinov2
from torch import nn

from medmm.dataset.batches import Batches, TrainingBatches
from medmm.dataset.cache import PreparedInput
from medmm.encoders import IMAGE_ENCODERS
from medmm.encoders.adapted import Adapted
from medmm.encoders.tuning import stage_numbers
from medmm.inputs.image import ImageSettings
from medmm.losses.cross_entropy import CrossEntropy
from medmm.model import DiagnosisModel, ModelSettings
from medmm.training.learner import adapted, parameter_groups
from medmm.training.loop import fit
from medmm.training.settings import TrainingSettings
from medmm.training.strategies.base import Situation

WIDTH = 16
SMALL: dict[str, dict[str, object]] = {
    "resnet18": {"channels": 8},
    "vit": {"hidden": 24, "layers": 2},
    "swin": {"hidden": 16, "depth": 1},
}
MONAI = [name for name in IMAGE_ENCODERS if name != "huggingface"]
FLAT = [name for name in MONAI if 2 in DIMENSIONS[name]]


def built(name: str, size: tuple[int, ...] = (32, 32), seed: int = 0, **settings: object) -> Adapted:
    torch.manual_seed(seed)
    whole = {"name": name, "weights": "w.pt", **SMALL.get(name, {}), **settings}
    made = IMAGE_ENCODERS.pick(name).model_validate(whole).build(WIDTH, 1, size)
    assert isinstance(made, Adapted)
    return made


def seen(*size: int) -> dict[str, torch.Tensor]:
    return {"image": torch.rand(2, 1, *size, generator=torch.Generator().manual_seed(0))}


def learning(made: nn.Module) -> set[str]:
    return {name for name, weight in made.named_parameters() if weight.requires_grad}


FOLLOWING = {"project.weight", "project.bias", "norm.weight", "norm.bias"}


@pytest.mark.parametrize("name", FLAT)
def test_a_frozen_backbone_keeps_its_weights_has_no_chance_and_its_kept_tokens_stand_in_for_it(name: str) -> None:
    made = built(name, tuning={"learn": "none"}).train()
    assert made.frozen
    assert learning(made) == FOLLOWING
    hidden = made.hidden(seen(32, 32))
    assert not hidden.values.requires_grad
    assert torch.equal(hidden.values, made.hidden(seen(32, 32)).values)
    kept = {"features": hidden.values, "features_mask": hidden.mask}
    direct, short = made(seen(32, 32)), made(kept)
    assert torch.equal(direct.values, short.values)
    assert torch.equal(direct.mask, short.mask)
    made.project.weight.grad = None
    short.values.square().sum().backward()
    assert made.project.weight.grad is not None


def test_kept_tokens_may_be_masked_and_of_half_precision() -> None:
    made = built("resnet18", tuning={"learn": "none"})
    hidden = made.hidden(seen(64, 64))
    mask = torch.tensor([[1, 1, 1, 1], [1, 0, 0, 0]], dtype=torch.uint8)
    out = made({"features": hidden.values.half(), "features_mask": mask})
    assert out.values.dtype == torch.float32
    assert torch.equal(out.mask, mask > 0)
    assert out.values[1, 1:].abs().sum() == 0


@pytest.mark.parametrize("name", ["resnet18", "vit"])
def test_a_backbone_that_learns_is_not_frozen(name: str) -> None:
    for learn in ("all", "lora", "gradual"):
        assert not built(name, tuning={"learn": learn}).frozen
    assert learning(built(name)) == {key for key, _ in built(name).named_parameters()}


@pytest.mark.parametrize(("name", "dimensions"), [(name, dimensions) for name in MONAI for dimensions in DIMENSIONS[name]])
def test_adapters_change_nothing_at_first_and_alone_learn(name: str, dimensions: int) -> None:
    size = (32,) * dimensions
    adapted = {"weights": None, "tuning": {"learn": "lora", "rank": 2}}
    plain, made = built(name, size, weights=None).eval(), built(name, size, **adapted).eval()
    made.project.load_state_dict(plain.project.state_dict())
    assert torch.equal(plain(seen(*size)).values, made(seen(*size)).values)
    assert all(".lora_" in key for key in learning(made) - FOLLOWING)
    before = {key: value.clone() for key, value in made.state_dict().items()}
    optimizer = torch.optim.Adam([weight for weight in made.parameters() if weight.requires_grad], 1e-2)
    for _ in range(2):
        optimizer.zero_grad()
        made(seen(*size)).values[..., 0].sum().backward()
        optimizer.step()
    after = made.state_dict()
    changed = {key for key in before if not torch.equal(before[key], after[key])}
    assert any("lora_A" in key for key in changed)
    assert any("lora_B" in key for key in changed)
    assert changed <= learning(made)
    copy = built(name, size, seed=5, **adapted).eval()
    copy.load_state_dict(after)
    assert torch.equal(made(seen(*size)).values, copy(seen(*size)).values)


def test_adapters_train_less_than_a_twentieth_of_a_resnet50() -> None:
    made = built("resnet50", tuning={"learn": "lora"})
    assert learning(made) > FOLLOWING
    inside = [weight for weight in made.backbone.parameters() if weight.requires_grad]
    assert 0 < sum(w.numel() for w in inside) < 0.05 * sum(w.numel() for w in made.backbone.parameters())


def test_the_size_and_the_weight_of_adapters_are_those_of_the_settings() -> None:
    made = built("vit", tuning={"learn": "lora", "rank": 4, "alpha": 6})
    layer = made.backbone.blocks[0].attn.qkv
    assert layer.lora_A["default"].weight.shape[0] == 4
    # By hand: alpha / rank.
    assert layer.scaling["default"] == 1.5


def test_pretrained_weights_load_below_adapters(tmp_path: Path) -> None:
    learned = built("resnet18")
    shaken(learned.backbone)
    torch.save(learned.backbone.state_dict(), tmp_path / "w.pt")
    settings = {"name": "resnet18", "channels": 8, "weights": str(tmp_path / "w.pt"), "tuning": {"learn": "lora"}}
    one = IMAGE_ENCODERS.pick("resnet18").model_validate(settings)
    made = one.build(WIDTH, 1, (32, 32))
    one.initialise(made)
    assert isinstance(made, Adapted)
    assert torch.equal(made.hidden(seen(32, 32)).values, learned.hidden(seen(32, 32)).values)


def test_stages_are_counted_from_the_image_on() -> None:
    names = ["stem.weight", "layer1before.bias", "layer1.0.weight", "between.bias", "layer2.weight", "layer2.norm.bias", "last"]
    assert list(stage_numbers(names, ["layer1", "layer2"]).values()) == [0, 0, 1, 1, 2, 2, 2]


STAGE_STARTS = {"densenet121": 5, "resnet18": 5, "resnet50": 5, "efficientnet": 8, "vit": 3, "swin": 5}


@pytest.mark.parametrize("name", FLAT)
def test_every_stage_has_its_own_rate_by_its_distance_from_the_output(name: str) -> None:
    made = built(name, tuning={"layer_decay": 0.5})
    rates = made.rates()
    assert set(rates) == set(made.backbone.parameters())
    assert set(rates.values()) == {0.5**i for i in range(1, STAGE_STARTS[name] + 1)}
    assert list(rates.values()) == sorted(rates.values())


class _Model(nn.Module):
    def __init__(self, encoder: Adapted) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(WIDTH, 2)


def test_rates_and_decay_are_as_worked_out_by_hand() -> None:
    encoder = built("resnet18", tuning={"layer_decay": 0.5})
    settings = TrainingSettings(learning_rate=0.1, weight_decay=0.3)
    groups = parameter_groups(_Model(encoder), settings)
    given = {id(weight): (group["lr"], group["weight_decay"]) for group in groups for weight in group["params"]}
    backbone = encoder.backbone
    # By hand: five stages, the stem and four layers; the last is one step from the output.
    by_hand = {
        encoder.project.weight: (0.1, 0.3),
        encoder.project.bias: (0.1, 0.0),
        backbone.layer4[1].conv2.weight: (0.05, 0.3),
        backbone.layer4[1].bn2.weight: (0.05, 0.0),
        backbone.layer1[0].conv1.weight: (0.1 / 16, 0.3),
        backbone.conv1.weight: (0.1 / 32, 0.3),
        backbone.bn1.bias: (0.1 / 32, 0.0),
    }
    for weight, expected in by_hand.items():
        assert given[id(weight)] == pytest.approx(expected)
    assert groups[0]["lr"] == 0.1
    assert len(given) == sum(len(group["params"]) for group in groups) == len(list(_Model(encoder).parameters()))


def test_without_decay_of_rates_there_are_the_two_usual_groups() -> None:
    groups = parameter_groups(_Model(built("resnet18")), TrainingSettings())
    assert [(group["lr"], group["weight_decay"]) for group in groups] == [(3e-4, 0.01), (3e-4, 0.0)]


def test_what_never_learns_is_in_no_group_and_what_learns_later_is_in_one() -> None:
    frozen, gradual, lora = (built("resnet18", tuning={"learn": learn}) for learn in ("none", "gradual", "lora"))
    inside = [
        {id(weight) for group in parameter_groups(_Model(one), TrainingSettings()) for weight in group["params"]}
        for one in (frozen, gradual, lora)
    ]
    assert not inside[0] & {id(weight) for weight in frozen.backbone.parameters()}
    assert inside[1] > {id(weight) for weight in gradual.backbone.parameters()}
    assert {id(w) for w in lora.backbone.parameters()} & inside[2] == {
        id(w) for name, w in lora.backbone.named_parameters() if ".lora_" in name
    }


def test_one_more_stage_learns_after_each_so_many_epochs_whatever_went_before() -> None:
    made = built("resnet18", tuning={"learn": "gradual", "stage_epochs": 2})

    def parts(epoch: int) -> set[str]:
        made.begin_epoch(epoch)
        return {name.split(".")[1] for name in learning(made) - FOLLOWING}

    assert learning(made) == FOLLOWING
    # By hand: the head alone for two epochs, then layer4, layer3, ..., and the stem from epoch 10 on.
    by_hand = {
        0: set(),
        1: set(),
        2: {"layer4"},
        3: {"layer4"},
        4: {"layer4", "layer3"},
        9: {"layer4", "layer3", "layer2", "layer1"},
        10: {"layer4", "layer3", "layer2", "layer1", "conv1", "bn1"},
        50: {"layer4", "layer3", "layer2", "layer1", "conv1", "bn1"},
    }
    for epoch in (50, *by_hand, 0, 4):
        assert parts(epoch) == by_hand[epoch]


def test_only_gradual_encoders_change_with_the_epoch() -> None:
    made = built("resnet18")
    made.backbone.conv1.requires_grad_(False)
    made.begin_epoch(3)
    assert not made.backbone.conv1.weight.requires_grad


def test_stages_of_a_hugging_face_model_are_its_layers(tmp_path: Path) -> None:
    settings = {"name": "huggingface", "model": tiny_dinov2(tmp_path), "tuning": {"learn": "gradual", "stage_epochs": 1}}
    made = IMAGE_ENCODERS.pick("huggingface").model_validate(settings).build(WIDTH, 1, (28, 28))
    assert isinstance(made, Adapted)
    made.begin_epoch(1)
    inside = {name for name in learning(made) if name.startswith("backbone.")}
    assert inside
    assert all(name.startswith(("backbone.encoder.layer.1.", "backbone.layernorm.")) for name in inside)
    made.begin_epoch(2)
    assert any("layer.0." in name for name in learning(made))
    assert not any("embeddings" in name for name in learning(made))


Report = Callable[[int, Mapping[str, float]], None]
EPOCHS = 4


def train(folder: Path, report: Report, tuning: Mapping[str, object]) -> DiagnosisModel:
    """Train on twelve images of eight pixels with a brighter half or without."""
    settings = TrainingSettings(epochs=EPOCHS, patience=EPOCHS, batch_size=4, learning_rate=3e-3, accelerator="cpu")
    rng = np.random.default_rng(0)
    target = (np.arange(12) % 2).astype(float)[:, None]
    image = rng.random((12, 1, 32, 32)).astype(np.float16)
    image[target[:, 0] > 0, :, 16:] *= 0.2
    place = np.stack([np.zeros(12, int), np.arange(12)], axis=1)
    prepared = {"chest": PreparedInput(place, ({"image": image},), {}, [])}
    encoder = {"name": "resnet18", "channels": 8, "weights": "w.pt", "tuning": tuning}
    none = dict.fromkeys(("shift", "rotation_degrees", "scale", "noise", "contrast"), 0)
    one = ImageSettings.model_validate({"path": "x", "size": [32, 32], "encoder": encoder, "augmentation": none}).open("chest")
    torch.manual_seed(0)
    model = DiagnosisModel(ModelSettings.model_validate({"width": 16}), {"chest": one}, CrossEntropy("binary", [1.0]))

    for encoder in adapted(model):
        encoder.hidden(seen(32, 32))  # as one does who keeps the tokens of a frozen backbone

    def training(epoch: Callable[[], int]) -> Batches:
        return TrainingBatches(prepared, range(12), target, 4, inputs={"chest": one}, seed=0, epoch=epoch)

    objective = settings.strategy.build(model, Situation())
    fit(objective, training, Batches(prepared, range(12), target, 4), settings, folder, report)
    return model


class _PowerCutError(Exception):
    pass


@pytest.mark.parametrize(
    "tuning", [{"learn": "gradual", "stage_epochs": 1, "layer_decay": 0.7}, {"learn": "lora", "rank": 2}, {"learn": "none"}]
)
def test_a_run_that_was_broken_off_learns_the_same_stages_and_ends_with_the_same_weights(
    tmp_path: Path, tuning: dict[str, Any]
) -> None:
    rates: list[float] = []
    whole = train(tmp_path / "whole", lambda _epoch, measures: rates.append(measures["learning_rate"]), tuning)
    assert max(rates) > 1e-3  # the full rate is reported, not that of a stage

    def fail(epoch: int, _measures: Mapping[str, float]) -> None:
        if epoch == 3:
            raise _PowerCutError

    with pytest.raises(_PowerCutError):
        train(tmp_path / "broken", fail, tuning)
    again = train(tmp_path / "broken", lambda _epoch, _measures: None, tuning)
    for (name, weight), other in zip(whole.state_dict().items(), again.state_dict().values(), strict=True):
        assert torch.equal(weight, other), name


@pytest.mark.parametrize(("learn", "held"), [("none", False), ("lora", True), ("all", True)])
def test_checkpoints_hold_a_backbone_unless_it_is_frozen(tmp_path: Path, learn: str, held: bool) -> None:
    model = train(tmp_path, lambda _epoch, _measures: None, {"learn": learn})
    for path in tmp_path.glob("*.ckpt"):
        state = torch.load(path, weights_only=True)["state_dict"]
        expected = {f"objective.model.{name}" for name in model.state_dict()}
        assert {name for name in expected - set(state) if ".backbone." not in name} == set()
        assert any(".backbone." in name for name in state) == held


def test_the_learner_lets_stages_learn_by_its_epoch(tmp_path: Path) -> None:
    model = train(tmp_path, lambda _epoch, _measures: None, {"learn": "gradual", "stage_epochs": 1})
    encoder = model.encoders["chest"]
    # By hand: epochs 0 to 3, so in the last one three stages learned.
    assert {name.split(".")[1] for name in learning(encoder) - FOLLOWING} == {"layer2", "layer3", "layer4"}
