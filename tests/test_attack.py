"""The worst small change: its step by hand, its bounds, what it may not touch, and what it leaves as it was."""

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from conftest import Hospital
from torch import nn

from medmm.encoders.embedded import Embedded
from medmm.encoders.several import THERE, Several
from medmm.inputs.tabular import TabularSettings
from medmm.inputs.text import TextSettings
from medmm.losses.cross_entropy import CrossEntropy
from medmm.model import DiagnosisModel, ModelSettings
from medmm.predict import predict
from medmm.training.attack import AttackSettings, Change, attack, attacked
from medmm.types import Batch, Task, Tokens

SLOPES = torch.tensor([2.0, -1.0, 0.5, -3.0])
"""Of the logit of a linear model, by pixel."""

IMAGE_BOUND = 0.02


class Linear(nn.Module):
    """Gives one token a study: the field times the slopes, then zeros."""

    def __init__(self, field: str, width: int) -> None:
        super().__init__()
        self.field, self.width = field, width
        self.slopes = nn.Parameter(SLOPES.clone())

    def forward(self, fields: Mapping[str, torch.Tensor]) -> Tokens:
        value = (fields[self.field].flatten(1) * self.slopes).sum(1)  # (B,)
        values = nn.functional.pad(value[:, None, None], (0, self.width - 1))  # (B, 1, D)
        return Tokens(values, torch.ones(len(value), 1, dtype=torch.bool))


def linear_model(
    field: str = "image", task: Task = "binary", classes: int = 1, network: nn.Module | None = None
) -> DiagnosisModel:
    """Give a model of one input whose first logit is the field times the slopes; further classes have the logit 0."""
    labs = TabularSettings.model_validate({"table": "x", "numeric": {"crp": {}}}).open("scan")
    settings = ModelSettings.model_validate({"width": 8, "fusion": {"name": "late"}})
    fitted = labs.fit([("1", {"crp": "1"}), ("2", {"crp": "3"})])
    model = DiagnosisModel(settings, {"scan": fitted}, CrossEntropy(task, [1.0] * classes))
    model.encoders["scan"] = Linear(field, 8) if network is None else network
    head = model.auxiliary["scan"]
    with torch.no_grad():
        head.weight.zero_()  # type: ignore[union-attr, operator]
        head.bias.zero_()  # type: ignore[union-attr, operator]
        head.weight[0, 0] = 1.0  # type: ignore[index, operator]
    return model.eval()


def scans(image: torch.Tensor, target: torch.Tensor, field: str = "image", absent: tuple[int, ...] = ()) -> Batch:
    has = torch.ones(len(image), dtype=torch.bool)
    has[list(absent)] = False
    return Batch({"scan": {field: image}}, {"scan": has}, target, torch.arange(len(image)))


def loss_of(model: DiagnosisModel, batch: Batch) -> float:
    with torch.no_grad():
        return model.joint_loss(model(batch), batch).item()


def read(change: Change, batch: Batch, field: str = "image") -> torch.Tensor:
    """Give what the encoder of the scan reads under a change."""
    with torch.no_grad(), change.of(batch) as changed:
        return changed.inputs["scan"][field]


def test_one_step_by_hand_on_a_linear_model() -> None:
    image, target = torch.full((3, 1, 2, 2), 0.5), torch.tensor([[1.0], [0.0], [torch.nan]])
    batch = scans(image, target)
    change = attack(linear_model(), batch, ["scan"], AttackSettings(image=IMAGE_BOUND, steps=1))
    # By hand: the loss of a positive falls with its logit, so each pixel goes against its slope; that of a negative along it;
    # a study without a label has no loss.
    sign = SLOPES.sign().view(1, 2, 2)
    expected = torch.stack([0.5 - IMAGE_BOUND * sign, 0.5 + IMAGE_BOUND * sign, torch.full((1, 2, 2), 0.5)])
    torch.testing.assert_close(read(change, batch), expected)


def test_a_step_of_a_multiclass_model_goes_against_the_truth() -> None:
    batch = scans(torch.full((2, 1, 2, 2), 0.5), torch.eye(3)[[0, 2]])
    change = attack(linear_model(task="multiclass", classes=3), batch, ["scan"], AttackSettings(image=0.1, steps=1))
    sign = SLOPES.sign().view(1, 2, 2)
    torch.testing.assert_close(read(change, batch), torch.stack([0.5 - 0.1 * sign, 0.5 + 0.1 * sign]))


def test_a_signal_moves_by_spreads_of_its_lead_and_has_no_window() -> None:
    trace = torch.tensor([0.0, -3.0, 0.5, 9.0]).view(1, 1, 4).repeat(2, 1, 1)  # a lead that was lost has zeros, which may move
    batch = scans(trace, torch.tensor([[1.0], [0.0]]), "signal")
    for steps in (1, 3):
        settings = AttackSettings(image=IMAGE_BOUND, signal=0.25, steps=steps)
        change = attack(linear_model("signal"), batch, ["scan"], settings)
        # By hand: a positive goes against the slopes +, -, +, -, a negative along them.
        expected = torch.stack([trace[0] - 0.25 * SLOPES.sign(), trace[1] + 0.25 * SLOPES.sign()])
        torch.testing.assert_close(read(change, batch, "signal"), expected)


def test_no_pixel_leaves_its_window() -> None:
    edges = torch.tensor([0.0, 1.0, 0.01, 0.995]).view(1, 1, 2, 2)
    batch = scans(edges.repeat(2, 1, 1, 1), torch.tensor([[1.0], [0.0]]))
    change = attack(linear_model(), batch, ["scan"], AttackSettings(image=IMAGE_BOUND, steps=1))
    # Slopes are +, -, +, -: a positive goes down, up, down, up; each only as far as the window goes.
    expected = torch.tensor([[0.0, 1.0, 0.0, 1.0], [0.02, 0.98, 0.03, 0.975]]).view(2, 1, 2, 2)
    torch.testing.assert_close(read(change, batch), expected)


@pytest.mark.parametrize("steps", [1, 3])
def test_a_pixel_at_the_edge_of_its_window_moves_from_any_start(steps: int) -> None:
    model = linear_model()
    with torch.no_grad():
        model.encoders["scan"].slopes.abs_()  # type: ignore[operator, union-attr]
    batch = scans(torch.zeros(50, 1, 2, 2), torch.zeros(50, 1))
    torch.manual_seed(0)
    change = attack(model, batch, ["scan"], AttackSettings(image=IMAGE_BOUND, steps=steps), random=True)
    torch.testing.assert_close(read(change, batch), torch.full((50, 1, 2, 2), IMAGE_BOUND))


def test_a_pixel_that_augmentation_put_outside_goes_no_further() -> None:
    image = torch.tensor([-0.03, 1.04, -0.03, 1.04]).view(1, 1, 2, 2)
    batch = scans(image, torch.tensor([[1.0]]))
    change = attack(linear_model(), batch, ["scan"], AttackSettings(image=IMAGE_BOUND))
    torch.testing.assert_close(read(change, batch), image)


def test_the_search_comes_from_the_far_end_of_its_bounds_to_the_other() -> None:
    batch = scans(torch.full((50, 1, 2, 2), 0.5), torch.zeros(50, 1))
    for steps in (2, 3, 10):
        torch.manual_seed(steps)
        settings = AttackSettings(image=IMAGE_BOUND, steps=steps)
        change = attack(linear_model(), batch, ["scan"], settings, random=True)
        expected = 0.5 + IMAGE_BOUND * SLOPES.sign().view(1, 1, 2, 2).expand(50, 1, 2, 2)
        torch.testing.assert_close(read(change, batch), expected)


@pytest.mark.parametrize(("steps", "share"), [(1, 1.0), (4, 2.5 / 4), (10, 0.25)])
def test_the_steps_of_the_search(steps: int, share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    shares: list[float] = []
    ascend = Change.ascend
    monkeypatch.setattr(Change, "ascend", lambda self, gradients, part: (shares.append(part), ascend(self, gradients, part)))
    batch = scans(torch.full((2, 1, 2, 2), 0.5), torch.zeros(2, 1))
    attack(linear_model(), batch, ["scan"], AttackSettings(steps=steps))
    assert shares == [share] * steps  # Madry et al.: 2.5 times the bound over all steps


def test_a_random_start_fills_the_bounds() -> None:
    image = torch.full((400, 1, 2, 2), 0.5)
    change = Change(linear_model(), ["scan"], AttackSettings(image=IMAGE_BOUND), random=True)
    torch.manual_seed(0)
    moved = read(change, scans(image, torch.zeros(400, 1))) - image
    assert 0.99 * IMAGE_BOUND < moved.abs().max() <= IMAGE_BOUND * 1.0001
    assert moved.mean().abs() < 0.05 * IMAGE_BOUND
    assert moved.std().item() == pytest.approx(IMAGE_BOUND / 3**0.5, rel=0.05)


def test_a_gradient_that_overflowed_moves_nothing() -> None:
    change = Change(linear_model(), ["scan"], AttackSettings(image=IMAGE_BOUND), random=False)
    batch = scans(torch.full((1, 1, 2, 2), 0.5), torch.zeros(1, 1))
    read(change, batch)
    change.ascend([torch.tensor([torch.nan, torch.inf, -torch.inf, 1.0]).view(1, 1, 2, 2)], 0.5)
    expected = 0.5 + 0.5 * IMAGE_BOUND * torch.tensor([0.0, 1.0, -1.0, 1.0])
    torch.testing.assert_close(read(change, batch).flatten(), expected)


def test_kept_features_change_by_a_share_of_their_root_mean_square_and_zeros_stay() -> None:
    features = torch.tensor([[3.0, 0.0, 4.0, 0.0], [0.0, 5.0, 0.0, 0.0], [9.0, 9.0, 9.0, 9.0]])
    batch = scans(features, torch.tensor([[0.0], [0.0], [0.0]]), "features", absent=(2,))
    change = attack(linear_model("features"), batch, ["scan"], AttackSettings(embedding=0.1, steps=1))
    # By hand: (9 + 16 + 25) / 3 numbers; the study that lacks the input has no say.
    size = 0.1 * (50 / 3) ** 0.5
    expected = torch.tensor([[3 + size, 0.0, 4 + size, 0.0], [0.0, 5 - size, 0.0, 0.0]])
    torch.testing.assert_close(read(change, batch, "features")[:2], expected)


@pytest.mark.parametrize("field", ["image", "signal", "features"])
@pytest.mark.parametrize("filler", [float("nan"), 1e30])
def test_whatever_stands_where_a_study_lacks_the_input_changes_no_bit(field: str, filler: float) -> None:
    values = torch.rand(4, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    values[1] = 0

    def found(content: float) -> tuple[torch.Tensor, torch.Tensor]:
        filled = values.clone()
        filled[1] = content
        batch = scans(filled, torch.tensor([[1.0], [0.0], [0.0], [1.0]]), field, absent=(1,))
        model = linear_model(field)
        torch.manual_seed(1)
        change = attack(model, batch, ["scan"], AttackSettings(), random=True)
        with torch.no_grad(), change.of(batch) as changed:
            return read(change, batch, field), model(changed).logits

    (one, said), (other, again) = found(0.0), found(filler)
    assert torch.equal(one[[0, 2, 3]], other[[0, 2, 3]])
    assert torch.equal(said, again)
    assert said.isfinite().all()


def hospital_model(hospital: Hospital) -> DiagnosisModel:
    torch.manual_seed(0)
    settings = ModelSettings.model_validate({"width": 16, "fusion": {"name": "concat", "modality_dropout": 0.3}})
    return DiagnosisModel(settings, hospital.inputs, CrossEntropy("binary", [2.0])).train()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", ["chest", "labs", "history"])
def test_the_search_raises_the_loss_more_than_chance_and_stays_inside_its_bounds(
    name: str, seed: int, hospital: Hospital
) -> None:
    model = hospital_model(hospital).eval()
    batch = hospital.batch(hospital.studies[seed * 8 : seed * 8 + 8])
    settings = AttackSettings(steps=10)
    worst = attack(model, batch, [name], settings)
    chance = Change(model, [name], settings, random=True)
    with torch.no_grad(), chance.of(batch) as changed:
        by_chance = model.joint_loss(model(changed), changed).item()
    with torch.no_grad(), worst.of(batch) as changed:
        by_search = model.joint_loss(model(changed), changed).item()
        if name == "chest":
            moved = changed.inputs[name]["image"] - batch.inputs[name]["image"]
            assert moved.abs().max() <= settings.image * 1.0001
            assert changed.inputs[name]["image"].min() >= 0
            assert changed.inputs[name]["image"].max() <= 1.0001
        else:
            assert changed.inputs[name] is batch.inputs[name]
    assert by_search > max(loss_of(model, batch), by_chance)


def test_an_attack_leaves_the_model_and_its_gradients_as_they_were(hospital: Hospital) -> None:
    model, batch = hospital_model(hospital), hospital.batch(hospital.studies[:6])
    model.loss(model(batch), batch).backward()
    before = {name: None if p.grad is None else p.grad.clone() for name, p in model.named_parameters()}
    state = {name: values.clone() for name, values in model.state_dict().items()}
    for mode in (True, False):
        model.train(mode)
        attack(model, batch, sorted(model.encoders), AttackSettings(), random=True)
        assert all(part.training == mode for part in model.modules())
    assert all(torch.equal(values, state[name]) for name, values in model.state_dict().items())
    for name, weight in model.named_parameters():
        known = before[name]
        assert weight.requires_grad
        assert (known is None) == (weight.grad is None)
        assert known is None or weight.grad is None or torch.equal(known, weight.grad)


@pytest.mark.parametrize("training", [True, False])
def test_no_dropout_hides_the_way_of_the_search(training: bool, hospital: Hospital) -> None:
    model, batch = hospital_model(hospital).train(training), hospital.batch(hospital.studies[:6])
    modes: list[bool] = []
    model.register_forward_hook(lambda *_: modes.append(any(part.training for part in model.modules())))
    attack(model, batch, ["labs"], AttackSettings(steps=2))
    assert modes == [False, False]


def hooks_of(model: nn.Module) -> int:
    return sum(len(part._forward_hooks) for part in model.modules())


def test_vectors_change_only_while_a_change_is_open(hospital: Hospital) -> None:
    model, batch = hospital_model(hospital).eval(), hospital.batch(hospital.studies[:6])
    clean = model(batch).logits
    change = attack(model, batch, ["labs", "history"], AttackSettings(), random=True)
    assert hooks_of(model) == 0
    with change.of(batch) as changed:
        assert hooks_of(model) == 2
        assert not torch.allclose(model(changed).logits, clean)
    assert hooks_of(model) == 0
    assert torch.equal(model(batch).logits, clean)
    with pytest.raises(ZeroDivisionError), change.of(batch):
        raise ZeroDivisionError
    assert hooks_of(model) == 0


TABLES = ("mlp", "ft_transformer")
NOTES = ("transformer", "recurrent", "bag_of_words")


def one_input(kind: str, encoder: str) -> tuple[DiagnosisModel, Batch, torch.Tensor]:
    """Give a model of one table or note, studies of which some cells or words are missing, and (B, cells) what is there."""
    target = torch.tensor([[1.0], [0.0], [1.0]])
    has, rows = torch.ones(3, dtype=torch.bool), torch.arange(3)
    if kind == "tabular":
        table = {"table": "x", "numeric": {"a": {}, "b": {}}, "categorical": ["sex"], "encoder": {"name": encoder}}
        labs = TabularSettings.model_validate(table).open("one")
        fitted = labs.fit([(str(i), {"a": str(i), "b": str(2 * i), "sex": "MF"[i % 2]}) for i in range(12)])
        known = torch.tensor([[1, 1], [1, 0], [0, 1]])
        category = torch.tensor([[2], [3], [0]], dtype=torch.int32)
        number = torch.tensor([[0.5, -1.0], [1.5, 0.0], [0.0, 0.7]])
        fields = {"number": number, "known": known.to(torch.uint8), "category": category}
        there = torch.cat([known > 0, category > 0], 1)
    else:
        note = {"table": "x", "max_tokens": 8, "encoder": {"name": encoder, "min_patients": 2}}
        text = TextSettings.model_validate(note).open("one")
        fitted = text.fit([(str(i), "cough and fever since days") for i in range(6)])
        found = [fitted.prepare(words) for words in ("cough and fever", "fever", "cough since days")]  # type: ignore[arg-type]
        fields = {field: torch.from_numpy(np.stack([one[field] for one in found])) for field in ("ids", "mask")}
        there = fields["mask"] > 0
        assert not there.all()
    torch.manual_seed(0)
    settings = ModelSettings.model_validate({"width": 16, "fusion": {"name": "late"}})
    model = DiagnosisModel(settings, {"one": fitted}, CrossEntropy("binary", [1.0])).eval()
    return model, Batch({"one": fields}, {"one": has}, target, rows), there


@pytest.mark.parametrize(("kind", "encoder"), [*(("tabular", name) for name in TABLES), *(("text", name) for name in NOTES)])
def test_what_is_missing_is_zero_and_stays_so_and_what_is_there_moves_inside_its_bound(kind: str, encoder: str) -> None:
    model, batch, there = one_input(kind, encoder)
    (part,) = (part for part in model.modules() if isinstance(part, Embedded))
    seen: list[torch.Tensor] = []
    part.register_forward_hook(lambda _part, _args, values: seen.append(values.detach().clone()))
    model(batch)
    part._forward_hooks.clear()
    settings = AttackSettings(embedding=0.3, steps=4)
    change = attack(model, batch, ["one"], settings, random=True)
    with torch.no_grad(), change.of(batch) as changed:
        part.register_forward_hook(lambda _part, _args, values: seen.append(values.detach().clone()))
        model(changed)
    plain, moved = seen
    assert torch.equal(moved[plain == 0], plain[plain == 0])
    if plain.ndim == 3:  # one vector a cell or word
        assert not plain[~there].any()
        assert plain[there].any(-1).all()
    rms = plain[plain != 0].square().mean().sqrt()
    far = (moved - plain).abs().max()
    assert 0.29 * rms < far <= 0.3001 * rms
    assert loss_of(model, batch) < model.joint_loss(model(batch), batch).item() + 1e-6


def test_a_study_that_lacks_the_attacked_input_keeps_its_answer(hospital: Hospital) -> None:
    lacking = [study for study in hospital.studies if "chest" not in study.evidence][:2]
    having = [study for study in hospital.studies if "chest" in study.evidence][:4]
    model, batch = hospital_model(hospital).eval(), hospital.batch([*lacking, *having])
    change = attack(model, batch, ["chest"], AttackSettings(), random=True)
    with torch.no_grad(), change.of(batch) as changed:
        moved = model(changed).logits - model(batch).logits
    assert not moved[:2].any()
    assert moved[2:].any(1).all()


def test_an_input_that_no_study_has_is_left_alone(hospital: Hospital) -> None:
    model = hospital_model(hospital)
    batch = hospital.batch([study for study in hospital.studies if "ct" not in study.evidence][:4])
    change = attack(model, batch, ["ct"], AttackSettings())
    assert change.deltas == []
    with change.of(batch) as changed:
        assert changed.inputs == batch.inputs


def test_an_image_that_is_not_among_several_does_not_move() -> None:
    model = linear_model(network=Several(Linear("image", 8), 8))
    there = torch.tensor([[1, 0], [1, 1]], dtype=torch.uint8)
    image = torch.full((2, 2, 1, 2, 2), 0.5) * there[..., None, None, None]
    batch = Batch(
        {"scan": {"image": image, THERE: there}}, {"scan": torch.ones(2, dtype=torch.bool)}, torch.zeros(2, 1), torch.arange(2)
    )
    change = attack(model, batch, ["scan"], AttackSettings(image=IMAGE_BOUND, steps=1))
    moved = (read(change, batch) - image)[:, :, 0].flatten(2)
    assert not moved[0, 1].any()
    for row, piece in ((0, 0), (1, 0), (1, 1)):
        torch.testing.assert_close(moved[row, piece], IMAGE_BOUND * SLOPES.sign())


def test_recurrent_networks_are_searched_without_cudnn_and_others_with_it() -> None:
    for encoder, wanted in (("recurrent", False), ("transformer", True)):
        model, batch, _ = one_input("text", encoder)
        seen: list[bool] = []
        model.register_forward_hook(lambda *_: seen.append(torch.backends.cudnn.enabled))  # noqa: B023
        attack(model, batch, ["one"], AttackSettings(steps=2))
        assert seen == [wanted, wanted]
        assert torch.backends.cudnn.enabled


def test_attacked_asks_as_it_is_and_with_each_input_in_turn(hospital: Hospital) -> None:
    model = hospital_model(hospital).eval()
    batches = [hospital.batch(hospital.studies[:5]), hospital.batch(hospital.studies[5:9])]
    settings = AttackSettings(steps=3)
    found = attacked(model, batches, settings)
    everything = frozenset(model.encoders)
    np.testing.assert_allclose(found.clean.numpy(), predict(model, batches, [everything]).logits[everything], atol=1e-6)
    assert set(found.robust) == everything
    target = torch.cat([batch.target for batch in batches if batch.target is not None])
    for name, said in found.robust.items():
        has = torch.cat([batch.present[name] for batch in batches])
        assert said.shape == (9, 1)
        assert torch.equal(said[~has], found.clean[~has])
        weighed = torch.tensor([2.0])
        plain, worse = (
            nn.functional.binary_cross_entropy_with_logits(one + weighed.log(), target, pos_weight=weighed).item()
            for one in (found.clean, said)
        )
        assert worse > plain if has.any() else worse == plain
    first = attack(model, batches[0], ["chest"], settings)
    with torch.no_grad(), first.of(batches[0]) as changed:
        torch.testing.assert_close(found.robust["chest"][:5], model.evidence(model(changed).logits))
