"""Ways to pretrain: one contract for all, and what each of them claims, worked out by hand."""

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Hospital

from medmm.dataset.batches import Batches, TrainingBatches
from medmm.dataset.cache import PreparedInput
from medmm.dataset.decode import prepare_study
from medmm.encoders import IMAGE_ENCODERS, TABULAR_ENCODERS, TEXT_ENCODERS
from medmm.errors import ConfigError
from medmm.inputs import INPUTS, Inputs
from medmm.inputs.base import Input
from medmm.training.loop import fit
from medmm.training.pretraining import PRETRAININGS
from medmm.training.pretraining.base import Pretraining, validation_chance
from medmm.training.pretraining.contrastive import Contrastive, info_nce
from medmm.training.pretraining.hidden_cells import CellRestorer
from medmm.training.pretraining.hidden_patches import PatchRestorer
from medmm.training.pretraining.hidden_words import WordRestorer
from medmm.training.pretraining.masked import Masked, Restoration
from medmm.training.pretraining.measures import first_is_own, measure
from medmm.training.pretraining.restorer import hide_some
from medmm.training.pretraining.settings import PretrainingSettings
from medmm.types import Batch, Tokens

WIDTH = 16


def patients_of(hospital: Hospital) -> list[int]:
    numbers: dict[str, int] = {}
    return [numbers.setdefault(study.patient_id, len(numbers)) for study in hospital.studies]


def objective_of(hospital: Hospital, name: str, inputs: Inputs | None = None, seed: int = 0) -> Pretraining:
    torch.manual_seed(seed)
    method = PRETRAININGS.pick(name).model_validate({"name": name})
    return Pretraining(method, inputs or hospital.inputs, WIDTH, patients_of(hospital))


def prepared_of(hospital: Hospital) -> dict[str, PreparedInput]:
    """Prepare all studies by the shortest way."""
    found: list[Any] = [prepare_study(study, hospital.inputs) for study in hospital.studies]
    prepared = {}
    for name in hospital.inputs:
        rows = [i for i, one in enumerate(found) if name in one]
        place = np.full((len(found), 2), -1)
        place[rows] = np.stack([np.zeros(len(rows), int), np.arange(len(rows))], axis=1)
        fields = {field: np.stack([found[i][name][field] for i in rows]) for field in (found[rows[0]][name] if rows else ())}
        prepared[name] = PreparedInput(place, (fields,), {}, [])
    return prepared


def filler(batch: Batch, value: float) -> Batch:
    """Put other filler where an input is absent."""
    inputs: dict[str, dict[str, torch.Tensor]] = {}
    for name, fields in batch.inputs.items():
        inputs[name] = {field: tensor.clone() for field, tensor in fields.items()}
        for tensor in inputs[name].values():
            tensor[~batch.present[name]] = value if tensor.is_floating_point() else 1
    return replace(batch, inputs=inputs)


@pytest.mark.parametrize("name", PRETRAININGS)
class TestMethod:
    def test_its_loss_falls(self, name: str, hospital: Hospital) -> None:
        objective, batch = objective_of(hospital, name), hospital.batch(hospital.studies[:12])
        before = objective.eval().validation_loss(batch).item()
        optimizer = torch.optim.AdamW(objective.train().parameters(), 3e-3)
        for _ in range(60):
            loss = objective.loss(batch)
            assert loss.isfinite()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        assert objective.eval().validation_loss(batch).item() < 0.8 * before

    def test_every_input_that_is_there_learns_and_no_other(self, name: str, hospital: Hospital) -> None:
        objective = objective_of(hospital, name).train()
        objective.loss(hospital.batch([study for study in hospital.studies if "ct" not in study.evidence][:8])).backward()
        for own, encoder in objective.encoders.items():
            learns = any(p.grad is not None and bool(p.grad.any()) for p in encoder.parameters())
            assert learns == (own in {"chest", "labs", "history"} and own in hospital.inputs), own

    def test_what_fills_an_absent_input_changes_no_bit(self, name: str, hospital: Hospital) -> None:
        objective = objective_of(hospital, name).eval()
        batch = hospital.batch(hospital.studies[:14])
        assert not all(bool(has.all()) for has in batch.present.values())
        losses = [objective.validation_loss(filler(batch, value)) for value in (0.0, 7.0, math.nan)]
        assert losses[0] == losses[1] == losses[2]

    def test_the_order_of_inputs_is_of_no_matter(self, name: str, hospital: Hospital) -> None:
        batch = hospital.batch(hospital.studies[:10])
        turned = replace(
            batch,
            inputs=dict(reversed(batch.inputs.items())),
            present=dict(reversed(batch.present.items())),
        )
        inputs = dict(reversed(hospital.inputs.items()))
        losses = [
            objective_of(hospital, name, which).eval().validation_loss(one)
            for which, one in ((hospital.inputs, batch), (inputs, turned))
        ]
        assert losses[0] == losses[1]

    def test_a_batch_with_nothing_to_learn_from_gives_zero_with_a_gradient(self, name: str, hospital: Hospital) -> None:
        objective, batch = objective_of(hospital, name).train(), hospital.batch(hospital.studies[:6])
        nobody = {one: torch.zeros(6, dtype=torch.bool) for one in batch.present}
        loss = objective.loss(replace(batch, present=nobody))
        assert loss == 0
        loss.backward()
        assert all(p.grad is None or bool(p.grad.isfinite().all()) for p in objective.parameters())

    def test_the_same_is_hidden_from_validation_studies_in_every_epoch(self, name: str, hospital: Hospital) -> None:
        objective, batch = objective_of(hospital, name).eval(), hospital.batch(hospital.studies[:8])
        torch.manual_seed(1)
        first = objective.validation_loss(batch)
        torch.manual_seed(2)
        assert objective.validation_loss(batch) == first

    def test_a_label_is_never_looked_at(self, name: str, hospital: Hospital) -> None:
        batch = hospital.batch(hospital.studies[:8])
        losses = [
            objective_of(hospital, name).eval().validation_loss(replace(batch, target=target))
            for target in (batch.target, None, torch.full((8, 1), math.nan))
        ]
        assert losses[0] == losses[1] == losses[2]

    def test_a_training_broken_off_ends_with_the_same_weights(self, name: str, hospital: Hospital, tmp_path: Path) -> None:
        prepared = prepared_of(hospital)

        class PowerCutError(Exception):
            pass

        def train(folder: Path, last: int | None = None) -> Mapping[str, torch.Tensor]:
            settings = PretrainingSettings.model_validate(
                {"method": name, "epochs": 3, "patience": 3, "batch_size": 16, "accelerator": "cpu", "learning_rate": 1e-3}
            )
            objective = objective_of(hospital, name)

            def report(epoch: int, _measures: Mapping[str, float]) -> None:
                if epoch == last:
                    raise PowerCutError

            target = np.full((len(hospital.studies), 1), np.nan)
            fit(
                objective,
                lambda epoch: TrainingBatches(prepared, range(40), target, 16, inputs=hospital.inputs, seed=0, epoch=epoch),
                Batches(prepared, range(40, 56), target, 16),
                settings,
                folder,
                report,
            )
            return objective.state_dict()

        whole = train(tmp_path / "whole")
        with pytest.raises(PowerCutError):
            train(tmp_path / "broken", 2)
        again = train(tmp_path / "broken")
        assert set(again) == set(whole)
        assert all(torch.equal(again[one], whole[one]) for one in whole)

    def test_it_says_what_it_reached_with_n_and_interval(self, name: str, hospital: Hospital) -> None:
        batches = Batches(prepared_of(hospital), range(30), None, 16)
        measured = measure(objective_of(hospital, name), batches, patients_of(hospital), 100)
        kinds = {one.name.partition("/")[0] for one in measured}
        assert kinds == {"contrastive": {"retrieval"}, "masked": {"restored"}, "both": {"retrieval", "restored"}}[name]
        for one in measured:
            assert one.estimate.low <= one.estimate.value <= one.estimate.high
            assert 1 < one.estimate.patients <= one.estimate.studies <= 30


def test_info_nce_of_three_studies_is_what_a_hand_gives() -> None:
    first = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
    second = torch.tensor([[0.8, 0.6], [0.0, 1.0], [1.0, 0.0]])
    # By hand, scale 2: rows of 2 * first @ second.T are (1.6, 0, 2), (1.2, 2, 0), (1.92, 1.6, 1.2).
    rows = [(1.6, (1.6, 0, 2)), (2, (1.2, 2, 0)), (1.2, (1.92, 1.6, 1.2))]
    columns = [(1.6, (1.6, 1.2, 1.92)), (2, (0, 2, 1.6)), (1.2, (2, 0, 1.2))]
    losses = [math.log(sum(map(math.exp, others))) - own for own, others in (*rows, *columns)]
    found = info_nce(first, second, torch.tensor(2.0), torch.tensor([1, 2, 3]))
    assert found.item() == pytest.approx(sum(losses) / 6, abs=1e-6)
    # The last two studies are of one patient: they do not tell each other apart.
    rows = [(1.6, (1.6, 0, 2)), (2, (1.2, 2)), (1.2, (1.92, 1.2))]
    columns = [(1.6, (1.6, 1.2, 1.92)), (2, (0, 2)), (1.2, (2, 1.2))]
    losses = [math.log(sum(map(math.exp, others))) - own for own, others in (*rows, *columns)]
    found = info_nce(first, second, torch.tensor(2.0), torch.tensor([1, 2, 2]))
    assert found.item() == pytest.approx(sum(losses) / 6, abs=1e-6)


def test_a_pair_of_inputs_that_one_patient_alone_has_is_left_out(hospital: Hospital) -> None:
    objective, batch = objective_of(hospital, "contrastive").train(), hospital.batch(hospital.studies[:6])
    only = torch.tensor([True, False, False, False, False, False])
    present = {name: only if name in {"chest", "labs"} else torch.zeros(6, dtype=torch.bool) for name in batch.present}
    assert objective.loss(replace(batch, present=present)) == 0


def test_a_study_that_lacks_one_of_a_pair_takes_no_part_in_it(hospital: Hospital) -> None:
    objective = objective_of(hospital, "contrastive").eval()
    names = ("labs", "history")
    objective.part("contrastive").heads = torch.nn.ModuleDict({one: objective.part("contrastive").heads[one] for one in names})  # type: ignore[union-attr, index]
    whole = [study for study in hospital.studies if set(names) <= set(study.evidence)][:6]
    lacking = [study for study in hospital.studies if len(set(names) & set(study.evidence)) == 1][:3]
    assert len(lacking) == 3
    losses = []
    for studies in (whole, [*whole, *lacking]):
        rows = torch.tensor([hospital.studies.index(study) for study in studies])
        losses.append(objective.loss(replace(hospital.batch(studies), rows=rows)))
    torch.testing.assert_close(losses[0], losses[1])


def test_contrastive_with_one_input_is_refused_by_its_name(hospital: Hospital) -> None:
    with pytest.raises(ConfigError, match=r"'labs' alone: add an input, or choose masked"):
        Contrastive().parts({"labs": hospital.inputs["labs"]}, WIDTH, [1])


def test_retrieval_counts_studies_of_the_same_patient_neither_right_nor_wrong() -> None:
    first = np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]])
    second = np.array([[0.8, 0.0], [1.0, 0.0], [0.5, 0.5]])
    assert first_is_own(first, second, np.array([1, 2, 3])).tolist() == [False, True, True]
    assert first_is_own(first, second, np.array([1, 1, 3])).tolist() == [True, True, True]


class TestHiding:
    """What is hidden does not decide: the rest alone does."""

    @pytest.mark.parametrize("name", ["chest", "labs", "history"])
    def test_what_is_hidden_reaches_no_encoder(self, name: str, hospital: Hospital) -> None:
        batch = hospital.batch([study for study in hospital.studies if name in study.evidence][:8])
        objective = objective_of(hospital, "masked").eval()
        part = objective.part("masked")
        assert isinstance(part, Restoration)
        restorer = dict(part._named())[name]
        fields = batch.inputs[name]
        left, hidden = restorer.hide(fields, torch.Generator().manual_seed(0))
        assert hidden.any()
        changed = {field: tensor.clone() for field, tensor in fields.items()}
        if "image" in fields:
            place = restorer._to_pixels(hidden, fields["image"].shape[2:])  # type: ignore[operator]
            changed["image"] = torch.where(place, 0.123, fields["image"])
        elif "ids" in fields:
            changed["ids"][hidden] = 40
        else:
            changed["number"][hidden] = -5.0
        again, same = restorer.hide(changed, torch.Generator().manual_seed(0))
        assert torch.equal(hidden, same)
        assert any(not torch.equal(changed[field], fields[field]) for field in fields)
        for field in left:
            if field == "number":  # of an unknown cell, whatever stands there
                continue
            assert torch.equal(left[field], again[field]), field
        encoders = objective.encoders
        outs = [encoders.encode({**batch.inputs, name: one}, batch.present)[name].values for one in (left, again)]
        assert torch.equal(outs[0], outs[1])
        if name == "labs":
            assert not left["known"][hidden[:, : left["known"].shape[1]]].any()  # as of a cell that is missing
        intact = encoders.encode(batch.inputs, batch.present)[name].values
        assert intact.shape != outs[0].shape or not torch.equal(intact, outs[0])

    def test_so_many_patches_are_hidden_and_whole(self) -> None:
        restorer = PatchRestorer((32, 48), 1, WIDTH, 0.5)
        image = torch.rand(3, 1, 32, 48)
        left, hidden = restorer.hide({"image": image}, None)
        assert hidden.shape == (3, 64)
        assert hidden.sum(1).tolist() == [32, 32, 32]
        for study in range(3):
            for patch in range(64):
                row, column = patch // 8 * 4, patch % 8 * 6
                block = left["image"][study, :, row : row + 4, column : column + 6]
                if hidden[study, patch]:
                    assert (block == restorer.fill).all()
                else:
                    assert torch.equal(block, image[study, :, row : row + 4, column : column + 6])

    def test_a_patch_is_compared_with_its_own_pixels(self) -> None:
        restorer = PatchRestorer((16, 16), 2, WIDTH, 0.5)
        image = torch.arange(2 * 16 * 16, dtype=torch.float32).reshape(1, 2, 16, 16)
        truth = restorer._truth(image)
        assert truth.shape == (1, 64, 8)  # 2 x 2 pixels of 2 channels
        standard = (image - image.mean()) / image.std(correction=0)
        patch = standard[0, :, 4:6, 10:12].reshape(-1)  # the third row of patches, the sixth column
        torch.testing.assert_close(truth[0, 2 * 8 + 5], patch)

    def test_the_hidden_patches_alone_are_judged(self) -> None:
        restorer = PatchRestorer((16, 16), 1, WIDTH, 0.25)
        for weight in restorer.decoder.out.parameters():
            torch.nn.init.zeros_(weight)  # it says 0 of every pixel
        fields = {"image": torch.rand(3, 1, 16, 16)}
        _, hidden = restorer.hide(fields, None)
        tokens = Tokens(torch.randn(3, 4, WIDTH), torch.ones(3, 4, dtype=torch.bool))
        restored = restorer.judge(fields, hidden, tokens, torch.zeros(3, WIDTH))
        standard = (fields["image"] - fields["image"].mean((1, 2, 3), keepdim=True)) / fields["image"].std(
            (1, 2, 3), False, keepdim=True
        )
        place = hidden.reshape(3, 1, 8, 8).repeat_interleave(2, 2).repeat_interleave(2, 3)
        by_hand = torch.stack([one[where].square().mean() for one, where in zip(standard, place, strict=True)])
        torch.testing.assert_close(restored.error, by_hand)
        torch.testing.assert_close(restored.usual, by_hand)

    def test_volumes_and_sides_that_patches_do_not_divide(self) -> None:
        for size in ((8, 8), (17, 23), (16, 16, 8), (9, 30, 11)):
            restorer = PatchRestorer(size, 1, WIDTH, 0.6)
            fields = {"image": torch.rand(2, 1, *size)}
            left, hidden = restorer.hide(fields, None)
            tokens = Tokens(torch.randn(2, 5, WIDTH), torch.ones(2, 5, dtype=torch.bool))
            restored = restorer.judge(fields, hidden, tokens, torch.zeros(2, WIDTH))
            assert left["image"].shape == fields["image"].shape
            assert restored.error.isfinite().all()

    def test_the_last_known_cell_stays(self) -> None:
        there = torch.tensor([[True, False, False], [True, True, True], [False, False, False]])
        for seed in range(50):
            hidden = hide_some(there, 0.99, torch.Generator().manual_seed(seed))
            assert not (hidden & ~there).any()
            assert (there & ~hidden).any(1).tolist() == [True, True, False]

    def test_cells_are_judged_by_squared_error_and_cross_entropy(self) -> None:
        restorer = CellRestorer(2, [4], WIDTH, 0.5).eval()
        for weight in restorer.deep.parameters():
            torch.nn.init.zeros_(weight)
        fields = {
            "number": torch.tensor([[3.0, -1.0], [0.5, 9.0]]),
            "known": torch.tensor([[1, 1], [1, 0]]),
            "category": torch.tensor([[2], [3]]),
        }
        hidden = torch.tensor([[True, False, True], [False, False, True]])
        tokens = Tokens(torch.randn(2, 1, WIDTH), torch.ones(2, 1, dtype=torch.bool))
        restored = restorer.judge(fields, hidden, tokens, torch.zeros(2, WIDTH))
        # By hand: it says 0 of numbers, and each of four codes alike: 3 squared and log 4 / log 4, averaged.
        torch.testing.assert_close(restored.error, torch.tensor([5.0, 1.0]))
        torch.testing.assert_close(restored.usual, torch.tensor([5.0, 1.0]))
        assert restored.has.tolist() == [True, True]

    def test_what_is_usual_is_counted_in_training_alone(self) -> None:
        restorer = CellRestorer(0, [4], WIDTH, 0.5)
        fields = {"number": torch.zeros(6, 0), "known": torch.zeros(6, 0), "category": torch.full((6, 1), 2)}
        tokens = Tokens(torch.randn(6, 1, WIDTH), torch.ones(6, 1, dtype=torch.bool))
        hidden = torch.ones(6, 1, dtype=torch.bool)
        restorer.train().judge(fields, hidden, tokens, torch.zeros(6, WIDTH))
        usual = restorer.eval().judge(fields, hidden, tokens, torch.zeros(6, WIDTH)).usual
        # One of each code to begin with, then six of the third: 7 of 10.
        torch.testing.assert_close(usual, torch.full((6,), -math.log(0.7) / math.log(4)))

    @pytest.mark.parametrize("encoder", ["transformer", "bag_of_words"])
    def test_markers_padding_and_unknown_words_are_never_hidden(self, hospital: Hospital, encoder: str) -> None:
        hospital = with_encoder(hospital, "history", encoder, {"max_tokens": 60})
        state = hospital.inputs["history"].state
        restorer = WordRestorer("history", state, WIDTH, 0.99)
        batch = hospital.batch(hospital.studies)
        fields = batch.inputs["history"]
        _, hidden = restorer.hide(fields, None)
        never = {0, 1, *state["markers"].values()}
        assert hidden.any()
        assert set(fields["ids"].flatten().tolist()) & set(state["markers"].values())
        assert not set(fields["ids"][hidden].tolist()) & never
        assert not hidden[fields["mask"] == 0].any()


FEW: dict[str, dict[str, Any]] = {
    "vit": {"patch": 8, "hidden": 12, "layers": 1, "heads": 3},
    "swin": {"window": 2, "hidden": 16, "depth": 1, "patch": 1},
    "resnet18": {"channels": 8},
    "transformer": {"layers": 1, "min_patients": 3},
    "recurrent": {"min_patients": 3, "hidden": 8},
    "ft_transformer": {"layers": 1},
}
IMAGES = [
    name for name in IMAGE_ENCODERS if name not in {"huggingface", "i3_resnet152", "densenet121", "efficientnet", "resnet50"}
]
TEXTS = [name for name in TEXT_ENCODERS if name != "huggingface"]
CHOICES = [
    *(("chest", name, {}) for name in IMAGES),
    ("chest", "resnet18", {"images": 3}),
    *(("labs", name, {}) for name in TABULAR_ENCODERS),
    *(("history", name, {}) for name in TEXTS),
    ("history", "transformer", {"chunks": 3, "max_tokens": 12}),
    ("history", "bag_of_words", {"chunks": 2, "max_tokens": 16}),
]


def with_encoder(hospital: Hospital, name: str, encoder: str, changes: Mapping[str, object]) -> Hospital:
    """Give the hospital with one input of another encoder, fitted anew."""
    old: Input[Any] = hospital.inputs[name]
    content = {**old.settings.model_dump(mode="json"), "encoder": {"name": encoder, **FEW.get(encoder, {})}, **changes}
    one = INPUTS.pick(old.settings.kind).model_validate(content).open(name)
    studies = [study for study in hospital.studies if name in study.evidence]
    fitted = one.fit((study.patient_id, one.read(study.evidence[name])) for study in studies)
    return replace(hospital, inputs={**hospital.inputs, name: fitted})


@pytest.mark.parametrize(("name", "encoder", "changes"), CHOICES)
def test_every_family_of_encoders_can_be_pretrained(
    name: str, encoder: str, changes: dict[str, object], hospital: Hospital
) -> None:
    own = with_encoder(hospital, name, encoder, changes)
    own = replace(own, inputs={one: own.inputs[one] for one in ("chest", "labs", "history")})
    objective, batch = objective_of(own, "both").train(), own.batch(own.studies[:10])
    loss = objective.loss(batch)
    assert loss.isfinite()
    loss.backward()
    encoder_ = objective.encoders[name]
    assert all(p.grad is None or bool(p.grad.isfinite().all()) for p in objective.parameters())
    assert any(p.grad is not None and bool(p.grad.any()) for p in encoder_.parameters())
    part = objective.part("masked")
    assert isinstance(part, Restoration)
    restored = part.restore(objective.encoders, batch, validation_chance(batch))[name]
    assert restored.has.any()
    assert not restored.has[~batch.present[name]].any()


def test_a_frozen_backbone_is_refused_by_the_name_of_its_input(hospital: Hospital) -> None:
    one = hospital.inputs["chest"]
    encoder = one.settings.encoder.model_copy(
        update={"tuning": one.settings.encoder.tuning.model_copy(update={"learn": "none"})}
    )  # type: ignore[attr-defined]
    frozen = one.settings.model_copy(update={"encoder": encoder}).open("chest")
    with pytest.raises(ConfigError, match=r"the backbone of 'chest' stays as it is .*choose contrastive"):
        Masked().parts({"chest": frozen}, WIDTH, [1])


def test_inputs_tell_each_other_what_was_hidden(hospital: Hospital) -> None:
    """A note that repeats a laboratory value lets a hidden value be predicted, if the prediction may look across."""
    batch = hospital.batch([s for s in hospital.studies if {"labs", "history"} <= set(s.evidence)][:8])
    inputs = {name: hospital.inputs[name] for name in ("labs", "history")}
    changed = {**batch.inputs, "history": {**batch.inputs["history"], "ids": batch.inputs["history"]["ids"].flip(0)}}
    for across, moves in ((True, True), (False, False)):
        torch.manual_seed(0)
        objective = Pretraining(Masked(across=across), inputs, WIDTH, patients_of(hospital)).eval()
        part = objective.part("masked")
        assert isinstance(part, Restoration)
        errors = [
            part.restore(objective.encoders, one, validation_chance(batch))["labs"].error
            for one in (batch, replace(batch, inputs=changed))
        ]
        assert (not torch.equal(errors[0], errors[1])) == moves
