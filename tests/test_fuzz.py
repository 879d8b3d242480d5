"""Some hundred damaged files, the same ones each time; `python -m tests.fuzz` reads 20,000."""

from collections import Counter
from pathlib import Path

import fuzz
import numpy as np
import pytest

from medmm.errors import Rejected
from medmm.readers import read_series
from medmm.types import Volume


def test_damaged_files_end_in_volumes_or_a_refusal() -> None:
    ends: Counter[str] = Counter()
    for outcome in fuzz.run(range(1000), workers=2):
        assert outcome.end != fuzz.OFFENDER, f"python -m tests.fuzz --seed {outcome.seed}: {outcome.text}"
        ends[outcome.end] += 1
    assert ends.total() == 1000
    assert ends[fuzz.VOLUMES] > 50
    assert len(ends) > 5


def test_a_seed_makes_the_same_mutant_each_time_and_another_seed_another() -> None:
    assert [fuzz.mutant(seed) for seed in range(20)] == [fuzz.mutant(seed) for seed in range(20)]
    assert len({fuzz.mutant(seed).content for seed in range(200)}) > 190


def test_the_originals_made_here_are_whole(tmp_path: Path) -> None:
    for name, content in fuzz.originals()[-16:]:
        (tmp_path / name).write_bytes(content)
        assert read_series(tmp_path / name), name


@pytest.mark.parametrize("damage", fuzz.DAMAGES)
def test_each_kind_of_damage_changes_files_and_never_fails_itself(damage: fuzz.Damage) -> None:
    rng = np.random.default_rng(0)
    contents = [content for _, content in fuzz.originals()]
    assert sum(damage(content, rng) != content for content in contents) > len(contents) // 2
    for content in (b"", b"x", b"\xe0\x7f\x10\x00", b"\x02\x00\x10\x00UI"):
        damage(content, rng)


def test_an_offender_is_told_from_a_refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def ends(read: object) -> str:
        monkeypatch.setattr(fuzz, "read_series", read)
        return fuzz.read(1, tmp_path).end

    def fail(_: Path) -> list[Volume]:
        raise KeyError("x")

    def unsound(_: Path) -> list[Volume]:
        return [Volume(np.full((2, 2, 2), np.nan), np.eye(4), (1, 1, 1))]

    def speak(_: Path) -> list[Volume]:
        fuzz.logging.getLogger("any").warning("a name")
        return []

    def tell(path: Path) -> list[Volume]:
        raise Rejected(fuzz.Code.GAP, str(path), "x", "y", "z")

    assert [ends(read) for read in (fail, unsound, speak, tell)] == [fuzz.OFFENDER] * 4
    assert ends(lambda path: []) == fuzz.VOLUMES
