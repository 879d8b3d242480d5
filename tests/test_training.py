"""The loop: the same run gives the same weights, broken off or not, and ends when it should."""

import hashlib
import os
import pickle
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_strategies import CASES, labels_of, loss_of

from medmm.dataset.batches import Batches, TrainingBatches
from medmm.dataset.cache import PreparedInput
from medmm.errors import DataError
from medmm.inputs.tabular import TabularSettings
from medmm.model import DiagnosisModel, ModelSettings
from medmm.training.checkpoint import SafeCheckpoints
from medmm.training.learner import rate
from medmm.training.loop import LAST, Fitted, fit
from medmm.training.settings import TrainingSettings
from medmm.training.strategies.base import Situation
from medmm.types import Task

TRAINING, VALIDATION = range(26), range(26, 40)
EPOCHS = 6
KILLED_AT = 4

Report = Callable[[int, Mapping[str, float]], None]


def digest_of(model: torch.nn.Module) -> str:
    content = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        content.update(name.encode())
        content.update(tensor.numpy().tobytes())
    return content.hexdigest()


def train(
    folder: Path,
    report: Report = lambda _epoch, _measures: None,
    orders: list[int] | None = None,
    task: Task = "binary",
    **changes: Any,
) -> tuple[Fitted, DiagnosisModel]:
    """Train a small network with dropout on forty studies of two numbers; `orders` takes the epochs that fix an order.

    Strategies that learn without labels have twenty more.
    """
    given = {"epochs": EPOCHS, "patience": EPOCHS, "batch_size": 8, "learning_rate": 3e-3, "accelerator": "cpu"}
    settings = TrainingSettings.model_validate({**given, **changes})
    rng = np.random.default_rng(0)
    number = rng.normal(size=(60, 2)).astype(np.float32)
    fields = {"number": number, "known": np.ones((60, 2), np.uint8), "category": np.zeros((60, 0), np.int32)}
    place = np.stack([np.zeros(60, int), np.arange(60)], axis=1)
    prepared = {"labs": PreparedInput(place, (fields,), {}, [])}
    sick = torch.from_numpy(number[:, 0] + rng.normal(size=60) > 0)
    target = labels_of(task, sick, torch.arange(60) % 2 > 0).double().numpy()
    criterion = loss_of(task)
    criterion.fit(target[list(TRAINING)])
    target[40:] = np.nan
    labs = TabularSettings.model_validate(
        {"table": "x", "numeric": {"a": {}, "b": {}}, "encoder": {"layers": 1, "name": "ft_transformer"}}
    )
    one = labs.open("labs").fit([("1", {"a": "0", "b": "1"}), ("2", {"a": "2", "b": "3"})])
    torch.manual_seed(settings.seed)
    model = DiagnosisModel(ModelSettings.model_validate({"width": 16, "fusion": "transformer"}), {"labs": one}, criterion)

    def training(epoch: Callable[[], int]) -> Batches:
        def told() -> int:
            if orders is not None:
                orders.append(epoch())
            return epoch()

        strategy = settings.strategy
        return TrainingBatches(
            prepared,
            TRAINING,
            target,
            settings.batch_size,
            inputs={"labs": one},
            seed=settings.seed,
            epoch=told,
            views=strategy.views,
            group=np.arange(60) % 2,
            unlabelled=range(40, 60),
            share=strategy.unlabelled,
            repeats=strategy.repeats,
        )

    validation = Batches(prepared, VALIDATION, target, settings.batch_size, group=np.arange(60) % 2)
    return fit(
        settings.strategy.build(model, Situation(("a", "b"), frozenset({"labs"}))),
        training,
        validation,
        settings,
        folder,
        report,
    ), model


def train_and_die(folder: str) -> None:
    """Train until the report of one epoch, then end as a power cut does. Run in a process of its own."""

    def die(epoch: int, _measures: Mapping[str, float]) -> None:
        if epoch == KILLED_AT:
            os.kill(os.getpid(), signal.SIGKILL)

    train(Path(folder), die)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> tuple[Fitted, str, list[dict[str, float]]]:
    """A run from beginning to end: how it ended, its weights, and the measures of its epochs."""
    measures: list[dict[str, float]] = []
    fitted, model = train(tmp_path_factory.mktemp("unbroken"), lambda _epoch, m: measures.append(dict(m)))
    return fitted, digest_of(model), measures


def test_every_epoch_is_reported_and_the_best_one_kept(
    unbroken: tuple[Fitted, str, list[dict[str, float]]],
) -> None:
    fitted, _, measures = unbroken
    losses = [one["validation_loss"] for one in measures]
    assert len(losses) == fitted.epochs == EPOCHS
    assert fitted.best_epoch == 1 + int(np.argmin(losses))
    assert fitted.validation_loss == pytest.approx(min(losses))
    assert set(measures[0]) == {"train_loss", "validation_loss", "learning_rate"}
    assert losses[0] > min(losses)


def test_a_run_that_was_killed_goes_on_to_the_same_weights(
    tmp_path: Path, unbroken: tuple[Fitted, str, list[dict[str, float]]]
) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    code = "import sys, test_training; test_training.train_and_die(sys.argv[1])"
    ended = subprocess.run([sys.executable, "-c", code, str(tmp_path)], env=environment, check=False)
    assert ended.returncode == -signal.SIGKILL
    told: list[tuple[int, float]] = []
    fitted, model = train(tmp_path, lambda epoch, measures: told.append((epoch, measures["validation_loss"])))
    assert [epoch for epoch, _ in told] == list(range(KILLED_AT, EPOCHS + 1))
    assert [loss for _, loss in told] == [one["validation_loss"] for one in unbroken[2][KILLED_AT - 1 :]]
    assert digest_of(model) == unbroken[1]
    assert fitted == unbroken[0]


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 broken"])
def test_a_checkpoint_that_cannot_be_read_is_refused_with_the_repair(tmp_path: Path, content: bytes) -> None:
    (tmp_path / LAST).write_bytes(content)
    with pytest.raises(DataError, match="without --resume"):
        train(tmp_path)


class _PowerCutError(Exception):
    pass


@pytest.mark.parametrize("last_epoch", range(1, EPOCHS + 1))
def test_a_run_broken_off_in_any_epoch_ends_with_the_same_weights(
    tmp_path: Path, unbroken: tuple[Fitted, str, list[dict[str, float]]], last_epoch: int
) -> None:
    def fail(epoch: int, _measures: Mapping[str, float]) -> None:
        if epoch == last_epoch:
            raise _PowerCutError

    with pytest.raises(_PowerCutError):
        train(tmp_path, fail)
    fitted, model = train(tmp_path)
    assert digest_of(model) == unbroken[1]
    assert fitted == unbroken[0]


OPTIONS: dict[str, dict[str, object]] = {
    "adversarial": {"method": "pgd"},
    "domain_adversarial": {"column": "site"},
    "group_dro": {"columns": ["site"]},
    "pseudo_labels": {"precision": 0.6},
}


@pytest.mark.parametrize(("name", "task"), [*CASES, ("free", "binary")])
def test_every_strategy_broken_off_ends_with_the_weights_of_an_unbroken_run(tmp_path: Path, name: str, task: Task) -> None:
    strategy = {"name": name, **OPTIONS.get(name, {})} if name != "free" else {"name": "adversarial", "method": "free"}

    def fail(epoch: int, _measures: Mapping[str, float]) -> None:
        if epoch == 2:
            raise _PowerCutError

    asked = {"task": task, "strategy": strategy, "epochs": 4, "patience": 4}
    whole, model = train(tmp_path / "whole", **asked)
    with pytest.raises(_PowerCutError):
        train(tmp_path / "broken", fail, **asked)
    again, same = train(tmp_path / "broken", **asked)
    assert whole == again
    assert digest_of(model) == digest_of(same)
    assert all(weight.isfinite().all() for weight in model.parameters())


def test_every_epoch_has_an_order_of_its_own_and_a_resumed_run_takes_up_the_next(tmp_path: Path) -> None:
    def fail(epoch: int, _measures: Mapping[str, float]) -> None:
        if epoch == 4:
            raise _PowerCutError

    before: list[int] = []
    after: list[int] = []
    with pytest.raises(_PowerCutError):
        train(tmp_path, fail, before)
    train(tmp_path, orders=after)
    assert before == [0, 1, 2, 3]
    assert after == [3, 4, 5]


def test_a_run_broken_off_twice_ends_with_the_same_weights(
    tmp_path: Path, unbroken: tuple[Fitted, str, list[dict[str, float]]]
) -> None:
    for last_epoch in (2, 5):

        def fail(epoch: int, _measures: Mapping[str, float], last_epoch: int = last_epoch) -> None:
            if epoch == last_epoch:
                raise _PowerCutError

        with pytest.raises(_PowerCutError):
            train(tmp_path, fail)
    fitted, model = train(tmp_path)
    assert digest_of(model) == unbroken[1]
    assert fitted == unbroken[0]


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(
    tmp_path: Path, unbroken: tuple[Fitted, str, list[dict[str, float]]]
) -> None:
    torch.manual_seed(99)  # what came before is of no matter
    _, again = train(tmp_path / "again")
    _, other = train(tmp_path / "other", seed=1)
    assert digest_of(again) == unbroken[1]
    assert digest_of(other) != unbroken[1]


def test_a_finished_run_is_not_trained_further(tmp_path: Path, unbroken: tuple[Fitted, str, list[dict[str, float]]]) -> None:
    train(tmp_path)
    before = (tmp_path / LAST).read_bytes()
    told: list[int] = []
    fitted, model = train(tmp_path, lambda epoch, _measures: told.append(epoch))
    assert told == []
    assert (tmp_path / LAST).read_bytes() == before
    assert digest_of(model) == unbroken[1]
    assert fitted == unbroken[0]


def test_a_machine_with_slurm_trains_like_any_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "srun").write_text("#!/bin/sh\n")
    (tmp_path / "srun").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert shutil.which("srun") == str(tmp_path / "srun")
    fitted, _ = train(tmp_path / "run")  # a warning would be an error
    assert fitted.epochs == EPOCHS


def test_training_stops_after_so_many_epochs_without_a_better_loss(tmp_path: Path) -> None:
    losses: list[float] = []
    # A rate far too high: the loss soon rises.
    changes = {"epochs": 30, "patience": 2, "learning_rate": 0.3}
    fitted, model = train(tmp_path, lambda _epoch, m: losses.append(m["validation_loss"]), **changes)
    assert fitted.epochs == len(losses) < 30
    assert fitted.best_epoch == 1 + int(np.argmin(losses)) == fitted.epochs - 2
    again, same = train(tmp_path, **changes)
    assert again == fitted
    assert digest_of(same) == digest_of(model)


def test_the_best_weights_come_back_and_not_the_last(tmp_path: Path) -> None:
    changes = {"epochs": 30, "patience": 2, "learning_rate": 0.3}
    fitted, stopped = train(tmp_path / "long", **changes)
    assert fitted.best_epoch < fitted.epochs

    def fail(epoch: int, _measures: Mapping[str, float]) -> None:
        if epoch == fitted.best_epoch + 1:
            raise _PowerCutError

    with pytest.raises(_PowerCutError):
        train(tmp_path / "short", fail, **changes)
    last = torch.load(tmp_path / "short" / LAST, weights_only=True)["state_dict"]
    for name, tensor in stopped.state_dict().items():
        assert torch.equal(tensor, last[f"objective.model.{name}"])
    assert not stopped.training


def test_an_interrupt_ends_as_one_and_leaves_a_run_that_can_go_on(
    tmp_path: Path, unbroken: tuple[Fitted, str, list[dict[str, float]]]
) -> None:
    def handler(*_args: object) -> None:
        raise AssertionError

    def interrupt(epoch: int, _measures: Mapping[str, float]) -> None:
        if epoch == 3:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path, interrupt)
        assert signal.getsignal(signal.SIGINT) is handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert (tmp_path / LAST).is_file()
    _, model = train(tmp_path)
    assert digest_of(model) == unbroken[1]


class _Malicious:
    """Would write a file when it is unpickled."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.proof,))


def test_a_checkpoint_that_holds_more_than_tensors_is_refused(tmp_path: Path) -> None:
    proof = tmp_path / "code ran"
    (tmp_path / "run").mkdir()
    torch.save({"epoch": 0, "callbacks": {}, "state_dict": _Malicious(proof)}, tmp_path / "run" / LAST)
    with pytest.raises(DataError, match="without --resume"):
        train(tmp_path / "run")
    with pytest.raises(pickle.UnpicklingError):
        SafeCheckpoints().load_checkpoint(tmp_path / "run" / LAST, weights_only=False)
    assert not proof.exists()


def test_a_checkpoint_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / LAST
    SafeCheckpoints().save_checkpoint({"epoch": 1}, path)
    with pytest.raises(AttributeError):
        SafeCheckpoints().save_checkpoint({"epoch": lambda: 2}, path)
    assert SafeCheckpoints().load_checkpoint(path) == {"epoch": 1}
    assert [one.name for one in tmp_path.iterdir()] == [LAST]


def test_the_learning_rate_rises_and_falls() -> None:
    # By hand: linear to 1 at a tenth of the way, then half a cosine: 1/2 in the middle of the rest, 0 at the end.
    assert [rate(p) for p in (0.0, 0.05, 0.1, 0.55, 1.0, 1.3)] == pytest.approx([0, 0.5, 1, 0.5, 0, 0])


def test_patience_that_could_never_act_is_refused() -> None:
    with pytest.raises(ValueError, match="could never act"):
        TrainingSettings(epochs=2, patience=3)
