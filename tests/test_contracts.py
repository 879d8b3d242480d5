"""One contract a table, over all its entries: encoders, fusions and inputs."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from medmm.encoders import IMAGE_ENCODERS, SIGNAL_ENCODERS, TABULAR_ENCODERS, TEXT_ENCODERS
from medmm.encoders.adapted import Adapted
from medmm.encoders.attention import filled
from medmm.encoders.tuning import Tuning
from medmm.errors import ConfigError
from medmm.fusion import FUSIONS
from medmm.fusion.base import Fused, Fusion, drop_inputs, pooled, present
from medmm.inputs import INPUTS
from medmm.inputs.base import Input
from medmm.types import Array, Evidence, Tokens, Volume, Waveform

WIDTH = 16
STUDIES = 5
CLASSES = 3
INPUTS_OF_A_STUDY = ("chest", "history", "labs")


def tokens(seed: int = 0) -> dict[str, Tokens]:
    """Make tokens of three inputs: study 1 lacks the history, study 3 has only the labs, and notes differ in length."""
    generator = torch.Generator().manual_seed(seed)
    made = {}
    for name, count in zip(INPUTS_OF_A_STUDY, (4, 7, 3), strict=True):
        made[name] = Tokens(
            torch.randn(STUDIES, count, WIDTH, generator=generator), torch.ones(STUDIES, count, dtype=torch.bool)
        )
    made["history"].mask[:, 5:] = False
    made["history"].mask[1] = False
    made["chest"].mask[3] = False
    made["history"].mask[3] = False
    return made


def fusion(name: str, inputs: Sequence[str] = INPUTS_OF_A_STUDY, seed: int = 0) -> Fusion:
    """Build a fusion in evaluation mode."""
    torch.manual_seed(seed)
    return FUSIONS.pick(name).model_validate({"name": name}).build(WIDTH, inputs).eval()


def say(network: Fusion, given: Mapping[str, Tokens], heads: Mapping[str, nn.Module] | None = None) -> Fused:
    """Let a fusion speak; each input's own logits (B, C) are a linear map of its mean token."""
    maps = heads or {name: fixed_head(i) for i, name in enumerate(INPUTS_OF_A_STUDY)}
    fused: Fused = network(given, {name: maps[name](pooled(filled(given[name]))) for name in given})
    return fused


def fixed_head(seed: int) -> nn.Module:
    torch.manual_seed(100 + seed)
    return nn.Linear(WIDTH, CLASSES).requires_grad_(False)


def whole(fused: Fused) -> torch.Tensor:
    """Give all that a fusion says of each study, side by side."""
    parts = [fused.joint, fused.logits, None if fused.conflict is None else fused.conflict[:, None]]
    return torch.cat([part for part in parts if part is not None], dim=1)


def answer(fused: Fused) -> torch.Tensor:
    """Give what a diagnosis rests on."""
    return fused.joint if fused.logits is None else fused.logits


@pytest.mark.parametrize("name", FUSIONS)
class TestFusion:
    def test_it_gives_one_vector_a_study(self, name: str) -> None:
        said = say(fusion(name), tokens())
        assert said.joint.shape == (STUDIES, WIDTH)
        assert said.logits is None or said.logits.shape == (STUDIES, CLASSES)
        assert said.conflict is None or (
            said.conflict.shape == (STUDIES,) and bool(((said.conflict >= 0) & (said.conflict <= 1)).all())
        )
        assert said.penalty is None or (said.penalty.shape == () and bool(said.penalty.isfinite()))
        assert whole(said).isfinite().all()

    def test_the_order_of_the_inputs_is_of_no_matter(self, name: str) -> None:
        given = tokens()
        backwards = dict(reversed(given.items()))
        assert torch.equal(whole(say(fusion(name), given)), whole(say(fusion(name, INPUTS_OF_A_STUDY[::-1]), backwards)))

    @pytest.mark.parametrize("filler", [0.0, 1e30, float("nan"), float("inf")])
    def test_what_the_mask_hides_changes_no_bit(self, name: str, filler: float) -> None:
        given = tokens()
        changed = {key: Tokens(torch.where(one.mask[..., None], one.values, filler), one.mask) for key, one in given.items()}
        assert torch.equal(whole(say(fusion(name), given)), whole(say(fusion(name), changed)))

    def test_more_padding_changes_next_to_nothing(self, name: str) -> None:
        given = tokens()
        padded = {
            key: Tokens(nn.functional.pad(one.values, (0, 0, 0, 3), value=9.0), nn.functional.pad(one.mask, (0, 3)))
            for key, one in given.items()
        }
        torch.testing.assert_close(whole(say(fusion(name), given)), whole(say(fusion(name), padded)), atol=1e-5, rtol=1e-5)

    def test_a_study_is_fused_alike_whatever_stands_beside_it(self, name: str) -> None:
        together = whole(say(fusion(name), tokens()))
        for row in range(STUDIES):
            alone = {key: Tokens(one.values[[row]], one.mask[[row]]) for key, one in tokens().items()}
            torch.testing.assert_close(whole(say(fusion(name), alone))[0], together[row], atol=1e-5, rtol=1e-5)

    def test_what_the_mask_hides_changes_no_gradient(self, name: str) -> None:
        def gradients(filler: float) -> list[torch.Tensor]:
            network = fusion(name).train()
            given = {k: Tokens(torch.where(t.mask[..., None], t.values, filler), t.mask) for k, t in tokens().items()}
            torch.manual_seed(5)  # of dropout and of what is drawn
            heads = nn.ModuleDict({key: nn.Linear(WIDTH, CLASSES) for key in given})
            said = say(network, given, dict(heads.items()))
            (whole(said).square().sum() + (0.0 if said.penalty is None else said.penalty)).backward()
            return [p.grad for p in (*network.parameters(), *heads.parameters()) if p.grad is not None]

        for one, other in zip(gradients(0.0), gradients(float("nan")), strict=True):
            assert torch.equal(one, other)
            assert one.isfinite().all()

    def test_every_present_input_receives_gradient_and_no_absent_one_does(self, name: str) -> None:
        given = {key: Tokens(one.values.requires_grad_(), one.mask) for key, one in tokens().items()}
        answer(say(fusion(name), given)).square().sum().backward()
        for one in given.values():
            assert one.values.grad is not None
            touched = one.values.grad.abs().sum((1, 2)) > 0
            assert torch.equal(touched, present(one))
            assert one.values.grad[~one.mask].abs().sum() == 0

    def test_a_present_input_changes_the_result(self, name: str) -> None:
        given = tokens()
        for key in INPUTS_OF_A_STUDY:
            moved = torch.randn(WIDTH, generator=torch.Generator().manual_seed(7))  # a constant would be normed away
            other = {**given, key: Tokens(given[key].values + moved, given[key].mask)}
            changed = (answer(say(fusion(name), given)) != answer(say(fusion(name), other))).any(1)
            assert torch.equal(changed, present(given[key]))

    def test_its_state_survives_a_round_trip(self, name: str) -> None:
        network, copy = fusion(name), fusion(name, seed=1)
        torch.manual_seed(2)
        network.load_state_dict({key: value + 0.1 * torch.rand_like(value) for key, value in network.state_dict().items()})
        assert not torch.equal(whole(say(network, tokens())), whole(say(copy, tokens())))
        copy.load_state_dict(network.state_dict())
        assert torch.equal(whole(say(network, tokens())), whole(say(copy, tokens())))

    def test_training_steps_lower_the_loss(self, name: str) -> None:
        network = fusion(name).train()
        heads = nn.ModuleDict({key: nn.Linear(WIDTH, CLASSES) for key in INPUTS_OF_A_STUDY})
        goal = torch.randn(STUDIES, WIDTH, generator=torch.Generator().manual_seed(3))
        optimizer = torch.optim.Adam([*network.parameters(), *heads.parameters()], 3e-3)
        losses, penalties = [], []
        for _ in range(60):
            said = say(network, tokens(), dict(heads.items()))
            made = answer(said)
            loss = (made - goal[:, : made.shape[1]]).square().mean()
            penalty = torch.zeros(()) if said.penalty is None else said.penalty
            optimizer.zero_grad()
            (loss + penalty).backward()
            optimizer.step()
            losses.append(loss.item())
            penalties.append(penalty.item())
        assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])
        assert np.isfinite(penalties).all()

    def test_it_trains_in_bfloat16_on_a_cpu(self, name: str) -> None:
        network = fusion(name).train()
        with torch.autocast("cpu", torch.bfloat16):
            said = say(network, tokens(), {key: nn.Linear(WIDTH, CLASSES) for key in INPUTS_OF_A_STUDY})
            loss = answer(said).float().square().mean() + (0.0 if said.penalty is None else said.penalty.float())
        loss.backward()
        assert whole(said).isfinite().all()
        assert all(p.grad is None or bool(p.grad.isfinite().all()) for p in network.parameters())


def test_dropping_inputs_leaves_each_study_at_least_one_it_has() -> None:
    given = tokens()
    torch.manual_seed(0)
    for _ in range(50):
        dropped = drop_inputs(given, 0.9)
        left = torch.stack([present(one) for one in dropped.values()])
        had = torch.stack([present(one) for one in given.values()])
        assert left.any(0).all()
        assert not (left & ~had).any()


def test_inputs_are_dropped_at_the_stated_rate() -> None:
    complete = {name: Tokens(one.values, torch.ones_like(one.mask)) for name, one in tokens().items()}
    torch.manual_seed(0)
    rates = [1 - torch.stack([present(one) for one in drop_inputs(complete, 0.3).values()]).float().mean() for _ in range(800)]
    # By hand: 0.3, less the third of an input that is given back when all three fall: 0.3 - 0.3**3 / 3 = 0.291.
    assert float(torch.stack(rates).mean()) == pytest.approx(0.291, abs=0.012)


def image_fields(size: Sequence[int]) -> dict[str, torch.Tensor]:
    return {"image": torch.rand(3, 1, *size, generator=torch.Generator().manual_seed(0))}


@pytest.mark.parametrize("size", [(64, 64), (32, 32, 32)], ids=["2D", "3D"])
@pytest.mark.parametrize("name", [name for name in IMAGE_ENCODERS if name not in {"huggingface", "i3_resnet152"}])
def test_an_image_encoder_gives_tokens_that_learn_from_every_part_of_the_image(name: str, size: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    network = IMAGE_ENCODERS.pick(name).model_validate({"name": name}).build(WIDTH, 1, size).eval()
    fields = image_fields(size)
    fields["image"].requires_grad_()
    check_tokens(network, fields)
    made = network(fields)
    made.values.square().sum().backward()
    gradient = fields["image"].grad
    assert gradient is not None
    halves = gradient.abs().chunk(2, dim=2)
    assert all(half.sum() > 0 for half in halves)


def test_an_image_that_is_not_made_of_whole_patches_is_refused() -> None:
    with pytest.raises(ConfigError, match="not a multiple of patch 16"):
        IMAGE_ENCODERS.pick("vit").model_validate({"name": "vit"}).build(WIDTH, 1, (50, 64))


@pytest.mark.parametrize(
    ("name", "size"),
    [(name, {1: (1000,), 2: (32, 100)}[axes]) for name, one in SIGNAL_ENCODERS.items() for axes in sorted(one.axes)],
)
def test_a_signal_encoder_gives_tokens_that_learn_from_every_lead_all_the_time(name: str, size: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    network = SIGNAL_ENCODERS.pick(name).model_validate({"name": name}).build(WIDTH, 4, size).eval()
    fields = {"signal": torch.randn(3, 4, *size)}
    check_tokens(network, fields)
    if isinstance(network, Adapted):
        network.tuning = Tuning(learn="all")  # what is frozen lets no gradient through, unless it is to be explained
    fields["signal"].requires_grad_()
    network(fields).values.square().sum().backward()
    gradient = fields["signal"].grad
    assert gradient is not None
    assert all((part.abs().flatten(2).sum(2) > 0).all() for part in gradient.chunk(10, dim=-1))


@pytest.mark.parametrize("name", TABULAR_ENCODERS)
def test_a_tabular_encoder_sees_no_missing_cell(name: str) -> None:
    torch.manual_seed(0)
    network = TABULAR_ENCODERS.pick(name).model_validate({"name": name}).build(WIDTH, 3, [4]).eval()
    fields = {
        "number": torch.randn(3, 3),
        "known": torch.tensor([[1, 1, 1], [1, 0, 1], [0, 0, 0]]),
        "category": torch.tensor([[2], [0], [3]]),
    }
    check_tokens(network, fields)
    other = {**fields, "number": torch.where(fields["known"] > 0, fields["number"], 77.0)}
    assert torch.equal(network(fields).values, network(other).values)


@pytest.mark.parametrize("name", [name for name in TEXT_ENCODERS if name != "huggingface"])  # in test_encoders.py
def test_a_text_encoder_sees_no_padding(name: str) -> None:
    encoder = TEXT_ENCODERS.pick(name).model_validate({"name": name})
    state = json.loads(json.dumps(encoder.fit(["cough and fever"] * 9, [str(i) for i in range(9)], 12)))
    torch.manual_seed(0)
    network = encoder.build(WIDTH, state).eval()
    ids = torch.randint(1, state["tokens"], (3, 12))
    mask = (torch.arange(12) < torch.tensor([[12], [5], [1]])).to(torch.uint8)
    check_tokens(network, {"ids": ids, "mask": mask})
    other = torch.where(mask > 0, ids, 2)
    assert torch.equal(network({"ids": ids, "mask": mask}).values, network({"ids": other, "mask": mask}).values)


def check_tokens(network: nn.Module, fields: Mapping[str, torch.Tensor]) -> None:
    """Check shape, finiteness, masked zeros and that every weight learns."""
    made = network(fields)
    assert isinstance(made, Tokens)
    assert made.values.shape == (*made.mask.shape, WIDTH)
    assert made.values.isfinite().all()
    assert (made.values[~made.mask] == 0).all()
    made.values.square().sum().backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


@dataclass(frozen=True)
class Example:
    """One input kind with raw data of four studies."""

    settings: dict[str, object]
    raws: Sequence[object]
    evidence: Evidence


def volume(seed: int) -> Volume:
    values: Array = np.random.default_rng(seed).normal(size=(20, 24, 1)).astype(np.float32)
    return Volume(values, None, None)


def ecg(seed: int) -> Waveform:
    rng = np.random.default_rng(seed)
    values: Array = rng.normal(size=(2, 1200)).astype(np.float32) + np.sin(np.arange(1200) / 50).astype(np.float32)
    return Waveform(values, 500.0, ("I", "II"), ("mV", "mV"))


EXAMPLES = {
    "image": Example({"path": "dicom", "size": [32, 32]}, [volume(i) for i in range(4)], Evidence(files=(Path("a.dcm"),))),
    "tabular": Example(
        {"table": "labs.csv", "numeric": {"crp": {}}, "categorical": ["sex"]},
        [{"crp": "3.5", "sex": "f"}, {"crp": "", "sex": "m"}, {"crp": "90", "sex": ""}, {"crp": "12", "sex": "f"}],
        Evidence(cells={"crp": "3.5", "sex": "f"}),
    ),
    "text": Example(
        {"table": "notes.csv", "encoder": {"name": "transformer", "min_patients": 2}},
        ["cough", "no fever", "cough, fever", ""],
        Evidence(text="x"),
    ),
    "signal": Example(
        {"path": "ecg", "rate_hz": 500, "seconds": 2, "band_hz": [0.5, 40]},
        [ecg(i) for i in range(4)],
        Evidence(files=(Path("a.dcm"),)),
    ),
}


def test_every_input_kind_has_an_example_here() -> None:
    assert set(EXAMPLES) == set(INPUTS)


@pytest.mark.parametrize("kind", INPUTS)
class TestInput:
    def fitted(self, kind: str) -> Input[object]:
        example = EXAMPLES[kind]
        one = INPUTS.pick(kind).model_validate({"kind": kind, **example.settings}).open("x")
        return one.fit((str(i), raw) for i, raw in enumerate(example.raws))

    def test_prepared_arrays_have_one_shape_and_type_for_all_studies(self, kind: str) -> None:
        prepared = [self.fitted(kind).prepare(raw) for raw in EXAMPLES[kind].raws]
        assert len({str([(name, a.shape, a.dtype) for name, a in fields.items()]) for fields in prepared}) == 1
        assert all(np.isfinite(a).all() for fields in prepared for a in fields.values())

    def test_prepare_gives_the_same_every_time(self, kind: str) -> None:
        raw = EXAMPLES[kind].raws[0]
        first, second = self.fitted(kind).prepare(raw), self.fitted(kind).prepare(raw)
        assert all(np.array_equal(first[name], second[name]) for name in first)

    def test_state_survives_a_round_trip_through_json(self, kind: str) -> None:
        one = self.fitted(kind)
        kept = json.loads(json.dumps(one.portable()))
        again = INPUTS.pick(kind).model_validate(kept["settings"]).open("x", kept["state"])
        for raw in EXAMPLES[kind].raws:
            first, second = one.prepare(raw), again.prepare(raw)
            assert all(np.array_equal(first[name], second[name]) for name in first)

    def test_an_example_is_evidence_that_it_takes_like_a_real_one(self, kind: str, tmp_path: Path) -> None:
        one = self.fitted(kind)
        usual = one.prepare(EXAMPLES[kind].raws[0])
        prepared = []
        for seed in range(8):
            folder = tmp_path / str(seed)
            folder.mkdir()
            evidence = one.example(np.random.default_rng(seed), folder)
            assert (bool(evidence.files) + (evidence.cells is not None) + (evidence.text is not None)) == 1
            assert all(file.parent == folder for file in evidence.files)
            prepared.append(one.prepare(one.read(evidence)))
        for fields in prepared:
            assert {name: (a.shape, a.dtype) for name, a in fields.items()} == {n: (a.shape, a.dtype) for n, a in usual.items()}
        first, second = prepared[:2]
        assert any(not np.array_equal(first[name], second[name]) for name in first)

    def test_an_example_is_fixed_by_its_generator(self, kind: str, tmp_path: Path) -> None:
        one = self.fitted(kind)
        made = []
        for name in ("a", "b"):
            (tmp_path / name).mkdir()
            evidence = one.example(np.random.default_rng(3), tmp_path / name)
            made.append(([file.read_bytes() for file in evidence.files], evidence.cells, evidence.text))
        assert made[0] == made[1]

    def test_augmentation_is_fixed_by_its_generator(self, kind: str) -> None:
        one = self.fitted(kind)
        fields = one.prepare(EXAMPLES[kind].raws[0])
        first = one.augment(fields, np.random.default_rng(1))
        second = one.augment(fields, np.random.default_rng(1))
        assert all(np.array_equal(first[name], second[name]) for name in first)

    def test_its_encoder_takes_what_it_prepares(self, kind: str) -> None:
        one = self.fitted(kind)
        prepared = [one.prepare(raw) for raw in EXAMPLES[kind].raws[:2]]
        fields = {name: torch.from_numpy(np.stack([p[name] for p in prepared])) for name in prepared[0]}
        fields = {name: t.float() if t.dtype == torch.float16 else t for name, t in fields.items()}
        assert one.encoder(WIDTH).eval()(fields).values.shape[-1] == WIDTH

    def test_the_key_of_the_cache_knows_the_settings_but_not_the_encoder(self, kind: str) -> None:
        one = self.fitted(kind)
        assert "encoder" not in json.dumps(one.key())

    def test_fitting_again_gives_the_same_state(self, kind: str) -> None:
        assert all(json.dumps(self.fitted(kind).key()) == json.dumps(self.fitted(kind).key()) for _ in range(5))


def test_augmentation_changes_an_image_and_another_seed_changes_it_otherwise() -> None:
    one = INPUTS.pick("image").model_validate({"path": "dicom", "size": [32, 32]}).open("x")
    fields = one.prepare(volume(0))
    first = one.augment(fields, np.random.default_rng(1))["image"]
    second = one.augment(fields, np.random.default_rng(2))["image"]
    assert not np.array_equal(fields["image"], first)
    assert not np.array_equal(first, second)
