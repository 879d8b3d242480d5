"""From studies to batches: order, workers that die, the cache on disk, and what a batch holds."""

import json
import os
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import pytest
import torch
from torch import nn

from medmm.cohort.studies import Sources
from medmm.dataset import cache
from medmm.dataset.batches import Batches, TrainingBatches, gathered, stack
from medmm.dataset.cache import ABSENT, PreparedInput, prepare_input
from medmm.dataset.decode import prepare_studies
from medmm.encoders.base import TabularEncoderSettings
from medmm.encoders.ft_transformer import FTTransformer
from medmm.errors import Code, Rejected
from medmm.inputs.base import Fields, Found, Input, InputSettings
from medmm.settings import Plain
from medmm.types import Array, Batch, Evidence, Study
from medmm.workers import AHEAD, Limits

KILL, REJECT, FAIL, HANG, HOARD = "kill", "reject", "fail", "hang", "hoard"


class EchoSettings(InputSettings):
    """An input that gives the letters of its note back, and obeys a few words."""

    kind: Literal["echo"] = "echo"
    factor: int = 1
    encoder: TabularEncoderSettings = FTTransformer()

    def suited(self, patients: int) -> TabularEncoderSettings:
        return self.encoder

    def meaning(self) -> Mapping[str, Plain]:
        return {"kind": self.kind}

    def stands_in(self, sources: Sources) -> bool:
        raise NotImplementedError

    def open(self, name: str, state: Plain = None) -> Input[object]:
        return Echo(name, self, state)  # type: ignore[return-value]


class Echo(Input[str]):
    """Must stand in a module, so that worker processes can load it."""

    def __init__(self, name: str, settings: EchoSettings, state: Plain = None) -> None:
        super().__init__(name, state)
        self._settings = settings

    @property
    def settings(self) -> EchoSettings:
        return self._settings

    def gather(self, sources: Sources, studies: Sequence[Study]) -> list[Found]:
        raise NotImplementedError

    def read(self, evidence: Evidence) -> str:
        text = evidence.files[0].read_text() if evidence.files else str(evidence.text)
        if text == KILL:
            for file in evidence.files:
                with file.with_suffix(".reads").open("a") as reads:
                    reads.write("x")
            os._exit(9)
        if text == HANG:
            time.sleep(1000)
        if text == HOARD:
            hoard = []
            while True:
                hoard.append(bytearray(1 << 24))
        if text == REJECT:
            raise Rejected(Code.GAP, "the series", "a gap", "none", "export it again")
        if text == FAIL:
            raise ZeroDivisionError(evidence.text)
        return text

    def fit(self, raws: Iterable[tuple[str, str]]) -> Self:
        return self

    def prepare(self, raw: str) -> Fields:
        letters = np.frombuffer(raw.ljust(8)[:8].encode(), np.uint8) * self.settings.factor
        return {"letters": letters.astype(np.float16), "length": np.array([len(raw)], np.int32)}

    def example(self, rng: np.random.Generator, folder: Path) -> Evidence:
        raise NotImplementedError

    def made_up(self, rng: np.random.Generator) -> Fields:
        raise NotImplementedError

    def encoder(self, width: int) -> nn.Module:
        raise NotImplementedError


def echo(**settings: object) -> Input[object]:
    return EchoSettings.model_validate(settings).open("note")


def notes(*texts: str | None) -> list[Study]:
    """Make studies of patients whose identifiers must never be printed; None lacks the note."""
    return [
        Study(row, f"PAT-{row}", f"ACC-{row}", evidence={} if text is None else {"note": Evidence(text=text)})
        for row, text in enumerate(texts, 1)
    ]


def outcome(prepared: Mapping[str, Fields] | Rejected) -> object:
    """Say what became of a study: its letters, or its code."""
    if isinstance(prepared, Rejected):
        return prepared.code
    return "".join(chr(int(letter)) for letter in prepared["note"]["letters"]).strip() if prepared else None


def check_names_nobody(reason: Rejected, study: Study) -> None:
    assert str(reason).count(f"study in row {study.row}") == 1
    for secret in (study.patient_id, study.study_id, "/", "PAT", "ACC"):
        assert secret not in str(reason)


def test_studies_come_back_in_order_and_the_same_with_and_without_workers() -> None:
    studies = notes(*(f"note {i}" if i % 7 else None for i in range(2 * AHEAD * 2 + 5)), REJECT, "end")
    inputs = {"note": echo(factor=1)}
    alone, pooled = (list(prepare_studies(iter(studies), inputs, workers)) for workers in (0, 2))
    assert [study for study, _ in alone] == [study for study, _ in pooled] == studies
    assert [outcome(one) for _, one in alone] == [outcome(one) for _, one in pooled]
    assert outcome(alone[1][1]) == "note 1"
    for (_, one), (_, other) in zip(alone, pooled, strict=True):
        if isinstance(one, Rejected) or isinstance(other, Rejected):
            assert str(one) == str(other)
        else:
            assert list(one) == list(other)
            for name in one:
                assert all(np.array_equal(one[name][f], other[name][f]) for f in one[name])
                assert all(one[name][f].dtype == other[name][f].dtype for f in one[name])


def test_a_study_that_kills_its_worker_costs_itself_alone(tmp_path: Path) -> None:
    studies = notes("a", "", "b", "c", "d", "e")
    (tmp_path / "note.txt").write_text(KILL)
    studies[1] = studies[1].with_input("note", Evidence(files=(tmp_path / "note.txt",)))
    results = list(prepare_studies(studies, {"note": echo()}, 2))
    assert [study for study, _ in results] == studies
    assert [outcome(prepared) for _, prepared in results] == ["a", Code.CRASH, "b", "c", "d", "e"]
    reason = results[1][1]
    assert isinstance(reason, Rejected)
    check_names_nobody(reason, studies[1])
    assert (tmp_path / "note.reads").read_text() == "x"  # tried once


def test_a_worker_that_dies_while_the_caller_is_busy_costs_its_study_alone() -> None:
    studies = notes("a", KILL, *(f"n{i}" for i in range(2 * AHEAD)))
    codes = []
    for _, prepared in prepare_studies(studies, {"note": echo()}, 1):
        codes.append(outcome(prepared))
        time.sleep(0.5 if len(codes) == 1 else 0)  # the model computes while the next study kills the worker
    assert codes == ["a", Code.CRASH, *(f"n{i}" for i in range(2 * AHEAD))]


@pytest.mark.parametrize("workers", [1, 2])
def test_studies_that_hang_hoard_or_kill_cost_themselves_alone(workers: int) -> None:
    texts = ["a", HANG, "b", HOARD, KILL, "c", HOARD, "d", HANG, "e"]
    bad = {HANG: Code.TIMEOUT, HOARD: Code.MEMORY, KILL: Code.CRASH}
    studies = notes(*texts)
    results = list(prepare_studies(studies, {"note": echo()}, workers, Limits(seconds=3, memory_bytes=64 << 20)))
    assert [study for study, _ in results] == studies
    assert [outcome(prepared) for _, prepared in results] == [bad.get(text, text) for text in texts]
    for study, prepared in results:
        if isinstance(prepared, Rejected):
            check_names_nobody(prepared, study)


def test_a_study_may_take_as_much_as_the_limit_before_and_after_one_that_hoards() -> None:
    texts = ["a", HOARD, "b", HOARD, "c"]
    results = prepare_studies(notes(*texts), {"note": echo()}, 1, Limits(memory_bytes=64 << 20))
    assert [outcome(prepared) for _, prepared in results] == ["a", Code.MEMORY, "b", Code.MEMORY, "c"]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_reader_that_fails_in_an_unforeseen_way_costs_its_study_alone(workers: int) -> None:
    studies = notes("a", FAIL, "b")
    results = list(prepare_studies(studies, {"note": echo()}, workers))
    assert [outcome(prepared) for _, prepared in results] == ["a", Code.CRASH, "b"]
    reason = results[1][1]
    assert isinstance(reason, Rejected)
    check_names_nobody(reason, studies[1])


def test_a_file_that_is_gone_costs_its_study_alone(tmp_path: Path) -> None:
    (tmp_path / "here").write_text("a")
    studies = [
        Study(row, f"PAT-{row}", f"ACC-{row}", evidence={"note": Evidence(files=(tmp_path / name,))})
        for row, name in enumerate(["here", "gone", "here"], 1)
    ]
    results = [prepared for _, prepared in prepare_studies(studies, {"note": echo()}, 0)]
    assert isinstance(results[1], Rejected)
    check_names_nobody(results[1], studies[1])
    assert [outcome(results[0]), outcome(results[2])] == ["a", "a"]


def test_a_rejection_says_where_without_naming_anybody() -> None:
    (study,) = notes(REJECT)
    ((_, reason),) = prepare_studies([study], {"note": echo()}, 0)
    assert isinstance(reason, Rejected)
    assert reason.code is Code.GAP
    assert reason.where == "study in row 1, input note, the series"
    check_names_nobody(reason, study)


def test_a_study_that_was_rejected_before_is_not_read() -> None:
    before = Rejected(Code.AMBIGUOUS, "study in row 1", "two rows", "one", "correct it")
    (study,) = notes(KILL)
    ((_, reason),) = prepare_studies([study.with_input("studies.csv", before)], {"note": echo()}, 0)
    assert reason is before


def test_studies_are_drawn_only_a_bounded_number_ahead() -> None:
    drawn: list[int] = []

    def source() -> Iterator[Study]:
        for study in notes(*["x"] * 50):
            drawn.append(study.row)
            yield study

    stream = prepare_studies(source(), {"note": echo()}, 1)
    next(stream)
    assert len(drawn) <= AHEAD
    stream.close()  # type: ignore[attr-defined]


def no_decoding(*_args: object) -> Iterator[object]:
    raise AssertionError("decoded again")


def contents(prepared: PreparedInput) -> list[object]:
    """Give all that a prepared input says of every study."""
    found = [prepared.fields(i) for i in range(len(prepared.place))]
    codes = {i: str(reason) for i, reason in prepared.rejected.items()}
    return [[None if f is None else {n: (a.dtype.str, a.tolist()) for n, a in f.items()} for f in found], codes]


def test_what_was_prepared_once_is_not_decoded_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    studies = notes("one", None, REJECT, "four")
    first = contents(prepare_input(studies, echo(), tmp_path, 0))
    assert first[0][1] is None  # type: ignore[index]
    assert first[0][0]["length"] == ("<i4", [3])  # type: ignore[index]
    assert list(first[1]) == [2]  # type: ignore[call-overload]
    monkeypatch.setattr(cache, "prepare_studies", no_decoding)
    again = prepare_input(studies, echo(), tmp_path, 0)
    assert contents(again) == first
    assert again.rejected[2].code is Code.GAP
    check_names_nobody(again.rejected[2], studies[2])


def test_a_rejection_from_the_cache_names_the_row_where_the_study_stands_now(tmp_path: Path) -> None:
    prepare_input(notes("one", REJECT), echo(), tmp_path, 0)
    moved = prepare_input(notes(None, "one", REJECT), echo(), tmp_path, 0)
    assert moved.rejected[2].where == "study in row 3, input note, the series"


def test_a_changed_note_setting_version_or_file_is_prepared_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def letters(studies: Sequence[Study], **settings: object) -> list[float]:
        fields = prepare_input(studies, echo(**settings), tmp_path / "cache", 0).fields(0)
        assert fields is not None
        return fields["letters"][:2].tolist()

    file = tmp_path / "note.txt"
    file.write_text("AA")
    from_file = [Study(1, "p", "s", evidence={"note": Evidence(files=(file,))})]
    assert letters(from_file) == [65, 65]
    before = file.stat()
    file.write_text("BA")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))  # size and time tell nothing of the change
    assert letters(from_file) == [66, 65]
    assert letters(notes("AA")) == [65, 65]
    assert letters(notes("AB")) == [65, 66]
    assert letters(notes("AB"), factor=2) == [130, 132]
    monkeypatch.setattr(cache, "__version__", "another")
    monkeypatch.setattr(cache, "prepare_studies", no_decoding)
    with pytest.raises(AssertionError, match="decoded again"):
        letters(notes("AB"))


def damaged(path: Path, rng: np.random.Generator) -> int:
    content = bytearray(path.read_bytes())
    position = int(rng.integers(len(content)))
    content[position] ^= int(rng.integers(1, 256))
    path.write_bytes(content)
    return position


@pytest.mark.parametrize("name", ["letters.npy", "length.npy", "shard.json"])
def test_a_damaged_byte_of_a_shard_is_noticed_and_the_shard_made_anew(tmp_path: Path, name: str) -> None:
    studies = notes("one", REJECT, "three")
    whole = contents(prepare_input(studies, echo(), tmp_path / "kept", 0))
    rng = np.random.default_rng(0)
    for trial in range(25):
        folder = tmp_path / str(trial)
        shutil.copytree(tmp_path / "kept", folder)
        (path,) = folder.rglob(name)
        position = damaged(path, rng)
        assert contents(prepare_input(studies, echo(), folder, 0)) == whole, f"byte {position} of {name}"


@pytest.mark.parametrize("name", ["letters.npy", "shard.json"])
@pytest.mark.parametrize("kept", [0, 40])
def test_a_shard_that_ends_early_is_made_anew(tmp_path: Path, name: str, kept: int) -> None:
    studies = notes("one", "three")
    whole = contents(prepare_input(studies, echo(), tmp_path, 0))
    (path,) = tmp_path.rglob(name)
    os.truncate(path, kept)
    assert contents(prepare_input(studies, echo(), tmp_path, 0)) == whole


def test_a_shard_that_lost_a_file_is_made_anew(tmp_path: Path) -> None:
    studies = notes("one", "three")
    whole = contents(prepare_input(studies, echo(), tmp_path, 0))
    next(tmp_path.rglob("letters.npy")).unlink()
    assert contents(prepare_input(studies, echo(), tmp_path, 0)) == whole


def test_studies_spread_over_several_shards_and_progress_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "SHARD_STUDIES", 3)
    studies = notes("a", "bb", None, REJECT, "dddd", "eeeee", "ffffff", "ggggggg")
    told: list[tuple[int, int]] = []
    prepared = prepare_input(studies, echo(), tmp_path, 0, lambda done, of: told.append((done, of)))
    lengths = [None if f is None else f["length"].tolist() for f in (prepared.fields(i) for i in range(8))]
    assert lengths == [[1], [2], None, None, [4], [5], [6], [7]]
    assert len(prepared.shards) == 3
    assert told[-1] == (7, 7)
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_a_shard_of_rejected_studies_alone_is_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare_input(notes(REJECT, REJECT), echo(), tmp_path, 0)
    monkeypatch.setattr(cache, "prepare_studies", no_decoding)
    assert set(prepare_input(notes(REJECT, REJECT), echo(), tmp_path, 0).rejected) == {0, 1}


def test_a_crash_is_not_remembered_for_it_may_be_the_machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    studies = notes("one", FAIL)
    assert prepare_input(studies, echo(), tmp_path, 0).rejected[1].code is Code.CRASH
    with monkeypatch.context() as healed:
        healed.setattr("test_dataset.FAIL", "")
        assert prepare_input(studies, echo(), tmp_path, 0).rejected == {}
    monkeypatch.setattr(cache, "prepare_studies", no_decoding)
    assert prepare_input(studies, echo(), tmp_path, 0).rejected == {}


def test_the_cache_holds_no_identifier(tmp_path: Path) -> None:
    prepare_input(notes("one", REJECT), echo(), tmp_path, 0)
    for path in tmp_path.rglob("*"):
        assert "PAT" not in path.name
        if path.is_file():
            assert b"PAT" not in path.read_bytes()
            assert b"ACC" not in path.read_bytes()
    assert json.loads(next(tmp_path.rglob("shard.json")).read_text())["notes"]["rows"] == [0, None]


def in_memory(count: int, absent: Sequence[int] = ()) -> PreparedInput:
    """Give a prepared input whose study i holds (i, i + 0.5), in two shards that are filled from the end."""
    has = [i for i in range(count) if i not in absent]
    place = np.full((count, 2), cache.ABSENT)
    first, second = has[::2][::-1], has[1::2][::-1]
    for shard, rows in enumerate((first, second)):
        for row, i in enumerate(rows):
            place[i] = shard, row
    shards = tuple(
        {"value": np.array([[i, i + 0.5] for i in rows], np.float16), "code": np.array([[i] for i in rows], np.int32)}
        for rows in (first, second)
    )
    return PreparedInput(place, shards, {}, [])


def test_a_batch_holds_each_study_in_float32_with_zeros_where_it_is_absent() -> None:
    target = np.arange(6, dtype=np.float64)[:, None] / 10
    made = list(Batches({"a": in_memory(6, absent=[1, 4]), "b": in_memory(6)}, [5, 1, 0, 4], target, 3))
    assert [len(batch.rows) for batch in made] == [3, 1]
    first, last = made
    assert first.rows.tolist() == [5, 1, 0]
    assert first.inputs["a"]["value"].dtype == torch.float32
    assert first.inputs["a"]["code"].dtype == torch.int32
    assert first.inputs["a"]["value"].tolist() == [[5.0, 5.5], [0.0, 0.0], [0.0, 0.5]]
    assert first.present["a"].tolist() == [True, False, True]
    assert first.present["b"].tolist() == [True, True, True]
    assert first.target is not None
    assert first.target.dtype == torch.float32
    assert first.target.flatten().tolist() == pytest.approx([0.5, 0.1, 0.0])
    assert last.inputs["a"] == {}  # no study of this batch has it
    assert last.present["a"].tolist() == [False]


def test_stacking_changes_no_number_that_float16_holds() -> None:
    values = np.random.default_rng(0).normal(size=(4, 3, 5)).astype(np.float16)
    stacked = stack([{"v": values[0]}, None, {"v": values[1]}])["v"]
    assert np.array_equal(stacked.numpy(), np.stack([values[0], np.zeros((3, 5)), values[1]]).astype(np.float32))
    assert stack([None, None]) == {}


class Noisy(Echo):
    """Augments with what its generator gives."""

    def augment(self, fields: Mapping[str, Array], rng: np.random.Generator) -> Mapping[str, Array]:
        return {**fields, "value": fields["value"] + rng.random(2).astype(np.float32)}

    def perturb(self, fields: Mapping[str, Array], rng: np.random.Generator) -> Mapping[str, Array]:
        return {**fields, "value": fields["value"] - rng.random(2).astype(np.float32)}


def training_batches(count: int, size: int, seed: int, epoch: int, others: int = 0, **changes: Any) -> TrainingBatches:
    """Give batches of some labelled studies; `others` more follow them in the table, without a label."""
    noisy: Input[object] = Noisy("a", EchoSettings())  # type: ignore[assignment]
    target = np.zeros((count + others, 1))
    target[count:] = np.nan
    return TrainingBatches(
        {"a": in_memory(count + others, absent=[0])},
        range(count),
        target,
        size,
        inputs={"a": noisy},
        seed=seed,
        epoch=lambda: epoch,
        unlabelled=range(count, count + others),
        **changes,
    )


def seen(batches: Batches) -> tuple[list[int], list[float]]:
    rows = [int(row) for batch in batches for row in batch.rows]
    values = [float(v) for batch in batches for v in batch.inputs["a"]["value"].flatten()]
    return rows, values


def test_seed_and_epoch_fix_order_and_augmentation() -> None:
    first = seen(training_batches(12, 4, seed=3, epoch=5))
    assert sorted(first[0]) == list(range(12))
    assert first == seen(training_batches(12, 4, seed=3, epoch=5))
    others = [seen(training_batches(12, 4, seed, epoch)) for seed, epoch in ((3, 6), (4, 5))]
    for rows, values in others:
        assert rows != first[0]
        assert sorted(rows) == sorted(first[0])
        assert sorted(values) != sorted(first[1])


def test_the_same_study_is_augmented_otherwise_in_another_epoch_and_beside_another_study_alike() -> None:
    def value(count: int, epoch: int) -> list[float]:
        for batch in training_batches(count, 4, 0, epoch):
            for row, values in zip(batch.rows, batch.inputs["a"]["value"], strict=True):
                if row == 3:
                    return [float(v) for v in values]
        raise AssertionError

    assert value(12, 1) != value(12, 2)
    assert value(12, 1) == value(8, 1)


@pytest.mark.parametrize(("count", "expected"), [(8, [4, 4]), (10, [4, 4, 2]), (9, [4, 4]), (1, [1]), (3, [3])])
def test_a_lone_last_study_waits_for_another_epoch_and_the_length_is_true(count: int, expected: list[int]) -> None:
    batches = training_batches(count, 4, 0, 0)
    assert [len(batch.rows) for batch in batches] == expected
    assert len(batches) == len(expected)


def test_the_study_that_waits_is_not_always_the_same() -> None:
    left = {next(iter(set(range(9)) - set(seen(training_batches(9, 4, 0, epoch))[0]))) for epoch in range(12)}
    assert len(left) > 3


def test_scoring_batches_keep_a_lone_last_study_and_know_no_target() -> None:
    made = list(Batches({"a": in_memory(5)}, range(5), None, 2))
    assert [len(batch.rows) for batch in made] == [2, 2, 1]
    assert made[0].target is None
    assert len(Batches({"a": in_memory(5)}, range(5), None, 2)) == 3


def split_rows(batches: TrainingBatches, count: int) -> list[tuple[list[int], list[int]]]:
    """Give the labelled and unlabelled studies of each batch."""
    found = []
    for batch in batches:
        rows = batch.rows.tolist()
        assert batch.labelled.tolist() == [row < count for row in rows]
        found.append(([row for row in rows if row < count], [row for row in rows if row >= count]))
    return found


@pytest.mark.parametrize(("count", "others", "share"), [(10, 7, 1), (10, 7, 3), (8, 100, 2), (9, 4, 2), (10, 1, 3)])
def test_unlabelled_studies_come_each_once_before_any_comes_twice(count: int, others: int, share: int) -> None:
    found = split_rows(training_batches(count, 4, 0, 2, others, share=share), count)
    assert all(len(more) == share * len(labelled) for labelled, more in found)
    drawn = [row for _, more in found for row in more]
    for start in range(0, len(drawn), others):
        part = drawn[start : start + others]
        assert len(set(part)) == len(part)
    assert set(drawn) <= set(range(count, count + others))
    # The labelled ones come as they would without the others.
    assert [row for labelled, _ in found for row in labelled] == seen(training_batches(count, 4, 0, 2))[0]


def test_every_epoch_draws_other_unlabelled_studies_and_a_resumed_one_the_same() -> None:
    def drawn(epoch: int) -> list[int]:
        return [row for _, more in split_rows(training_batches(8, 4, 0, epoch, 30, share=1), 8) for row in more]

    assert drawn(1) == drawn(1) != drawn(2)
    assert sorted(drawn(1)) != sorted(drawn(2))


@pytest.mark.parametrize(("others", "share"), [(0, 3), (5, 0)])
def test_without_a_share_or_a_study_for_it_none_comes(others: int, share: int) -> None:
    assert all(not more for _, more in split_rows(training_batches(8, 4, 0, 0, others, share=share), 8))


def test_views_are_drawn_for_each_study_and_are_no_weak_ones() -> None:
    first, second = (list(training_batches(6, 3, 0, epoch, 4, share=1, views=2)) for epoch in (0, 1))
    again = list(training_batches(6, 3, 0, 0, 4, share=1, views=2))
    kept = in_memory(10, absent=[0])
    for batch, same in zip(first, again, strict=True):
        assert len(batch.views) == 2
        shown = [batch.inputs, *batch.views]
        for view, other in zip(shown, [same.inputs, *same.views], strict=True):
            assert torch.equal(view["a"]["value"], other["a"]["value"])
        for place, row in enumerate(batch.rows.tolist()):
            fields = kept.fields(row)
            if fields is None:
                assert not any(view["a"]["value"][place].any() for view in shown)
                continue
            moved = [view["a"]["value"][place].numpy() - fields["value"].astype(np.float32) for view in shown]
            assert (moved[0] > 0).all()
            assert (moved[1] < 0).all()  # strong views come from `perturb`
            assert (moved[2] < 0).all()
            assert not np.allclose(moved[1], moved[2])
            assert not np.allclose(moved[0], -moved[1])
    strong = {row: batch.views[0]["a"]["value"][i] for batch in first for i, row in enumerate(batch.rows.tolist())}
    for batch in second:
        for i, row in enumerate(batch.rows.tolist()):
            assert row == 0 or row not in strong or not torch.equal(batch.views[0]["a"]["value"][i], strong[row])
    assert all(batch.views == () for batch in training_batches(6, 3, 0, 0))


@pytest.mark.parametrize("count", [8, 9, 10])
def test_a_batch_is_repeated_in_a_row_and_the_length_knows(count: int) -> None:
    once, thrice = training_batches(count, 4, 0, 0), training_batches(count, 4, 0, 0, repeats=3)
    assert len(thrice) == 3 * len(once) == len(list(thrice))
    for place, batch in enumerate(thrice):
        other = list(once)[place // 3]
        assert torch.equal(batch.rows, other.rows)
        assert torch.equal(batch.inputs["a"]["value"], other.inputs["a"]["value"])


def test_groups_and_bounds_go_with_their_studies() -> None:
    group = np.arange(12) % 3 - 1
    bounds = np.stack([np.arange(12.0)] * 3, 1)[:, None] / 12
    for batch in training_batches(8, 4, 0, 0, 4, share=1, group=group, bounds=bounds):
        assert batch.group is not None
        assert batch.bounds is not None
        assert batch.group.dtype == torch.int64
        assert batch.bounds.dtype == torch.float32
        assert batch.group.tolist() == group[batch.rows].tolist()
        np.testing.assert_allclose(batch.bounds, bounds[batch.rows], rtol=1e-6)
        moved = batch.to(torch.device("cpu"))
        assert moved.group is not None
        assert torch.equal(moved.group, batch.group)
    for batch in [*training_batches(8, 4, 0, 0), *Batches({"a": in_memory(5)}, range(5), None, 2)]:
        assert batch.group is None
        assert batch.bounds is None


def test_a_view_stands_in_for_what_a_batch_shows_and_all_else_stays() -> None:
    batch = next(iter(training_batches(8, 4, 0, 0, 4, share=1, views=2, group=np.zeros(12, np.int64))))
    shown = batch.seen(1)
    assert shown.inputs is batch.views[1]
    assert shown.views == ()
    assert (shown.present, shown.target, shown.group) == (batch.present, batch.target, batch.group)


def test_a_batch_moves_to_a_device_with_all_that_a_network_computes_with() -> None:
    bounds = np.zeros((12, 1, 3))
    batch = next(iter(training_batches(8, 4, 0, 0, 4, share=1, views=1, group=np.zeros(12, np.int64), bounds=bounds)))
    moved = batch.to(torch.device("meta"))
    everything = [moved.target, moved.group, moved.bounds, *moved.present.values()]
    everything += [values for shown in (moved.inputs, *moved.views) for fields in shown.values() for values in fields.values()]
    assert all(one is not None and one.device.type == "meta" for one in everything)
    assert moved.rows.device.type == "cpu"


def test_a_study_of_which_one_class_is_not_known_counts_as_unlabelled() -> None:
    nan = float("nan")
    batch = Batch({}, {}, torch.tensor([[1.0, 0.0], [nan, 1.0], [nan, nan]]), torch.arange(3))
    assert batch.labelled.tolist() == [True, False, False]


def test_batches_name_the_group_of_each_study_where_somebody_asks() -> None:
    one, group = PreparedInput(np.array([[0, 0], [0, 1], [0, 2]]), ({"x": np.zeros((3, 1))},), {}, []), np.array([2, -1, 0])
    (batch,) = Batches({"x": one}, [2, 1], None, 4, group=group)
    assert batch.group is not None
    assert batch.group.tolist() == [0, -1]
    (batch,) = Batches({"x": one}, [2, 1], None, 4)
    assert batch.group is None


def test_gathering_by_shard_gives_what_stacking_one_by_one_gives() -> None:
    rng = np.random.default_rng(0)
    shards = tuple(
        {"x": rng.random((size, 2, 3)).astype(np.float16), "y": rng.integers(0, 9, (size, 4)).astype(np.int32)}
        for size in (3, 2)
    )
    place = np.array([[1, 1], [0, 2], [ABSENT, ABSENT], [0, 0], [1, 0], [0, 1]])
    one = PreparedInput(place, shards, {}, [])
    for rows in ([5, 2, 0, 3, 4, 1], [2], [4, 4, 2], []):
        made, present = gathered(one, np.array(rows, int))
        expected = stack([one.fields(row) for row in rows])
        assert list(made) == list(expected)
        assert all(torch.equal(made[name], expected[name]) and made[name].dtype == expected[name].dtype for name in made)
        assert present.tolist() == [row != 2 for row in rows]
