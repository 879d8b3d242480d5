"""What every ledger owes, what each of them does with dead scorers, damage and full disks, and which shard has a study."""

import fcntl
import json
import os
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from medmm.errors import ConfigError, DataError
from medmm.scoring import ledger as ledgers
from medmm.scoring.identity import Named, study_digest
from medmm.scoring.ledger import LEDGERS, open_ledger, partitions, sqlite
from medmm.scoring.ledger.base import FOLDER, Entry, Ledger
from medmm.scoring.ledger.disks import is_shared
from medmm.scoring.ledger.partitions import PartitionLedger
from medmm.scoring.ledger.sqlite import SqliteLedger
from medmm.scoring.shards import Shard, number_of, unfinished
from medmm.types import Evidence, Study

KINDS = list(LEDGERS)
MODEL, OTHER = "a" * 64, "b" * 64
Open = Callable[..., Ledger]


OPEN: list[Ledger] = []


@pytest.fixture(autouse=True)
def closing() -> Iterator[None]:
    """Closes what a test leaves open."""
    yield
    while OPEN:
        OPEN.pop().close()


def opening(kind: str, out: Path, model: str = MODEL) -> Any:
    OPEN.append(LEDGERS[kind](out, model))
    return OPEN[-1]


@pytest.fixture(params=KINDS)
def opened(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Open:
    """Opens the ledger of one folder; as if a long time passed between two of its looks."""
    monkeypatch.setattr(partitions, "READ_SECONDS", 0.0)
    return lambda model=MODEL: opening(request.param, tmp_path, model)


def named(number: int, digest: str = "as it is", row: int | None = None) -> Named:
    return Named(Study(number if row is None else row, f"p{number}", f"s{number}"), f"{number:064x}", digest)


def entry(one: Named, said: str = "sick", rejected: bool = False) -> Entry:
    return Entry(one, {"study_id": one.study.study_id, "said": said, "list": ["a\tb\nc", None, 0.1]}, rejected)


def claimed(ledger: Ledger, *studies: Named) -> list[str]:
    return [one.key for one in ledger.claim(studies).mine]


def end(ledger: Ledger, *studies: Named, said: str = "sick", rejected: bool = False) -> int:
    ledger.claim(studies)
    return ledger.commit([entry(one, said, rejected) for one in studies])


def said(ledger: Ledger, rejected: bool = False) -> list[tuple[int, object]]:
    with ledger.exporting(lambda _: None):
        return [(number, row["said"]) for number, row in ledger.rows(rejected=rejected)]


def test_a_row_comes_back_as_it_was_committed(opened: Open) -> None:
    ledger = opened()
    one = named(1)
    assert end(ledger, one) == 1
    (row,) = ledger.rows(rejected=False)
    assert row == (1, {"study_id": "s1", "said": "sick", "list": ["a\tb\nc", None, 0.1]})
    assert list(ledger.rows(rejected=True)) == []
    assert ledger.known([one.key, named(2).key]) == {one.key: "as it is"}


def test_a_study_with_a_row_is_claimed_no_more_by_anyone_nor_later(opened: Open) -> None:
    first, second = opened(), opened()
    end(first, named(1), named(2))
    assert claimed(second, named(1), named(2), named(3)) == [named(3).key]
    first.close()
    second.close()
    third = opened()
    told = third.claim([named(1), named(2)])
    assert (list(told.mine), list(told.others), told.done) == ([], [], 2)
    assert said(third) == [(1, "sick"), (2, "sick")]


def test_a_changed_study_is_claimed_anew_and_its_new_row_takes_the_place_of_the_old(opened: Open) -> None:
    ledger = opened()
    end(ledger, named(1), named(2))
    assert claimed(ledger, named(1, "changed")) == [named(1).key]
    assert said(ledger) == [(1, "sick"), (2, "sick")]  # until there is a new one
    end(ledger, named(1, "changed"), said="healthy")
    assert said(ledger) == [(1, "healthy"), (2, "sick")]
    assert said(opened()) == [(1, "healthy"), (2, "sick")]
    end(ledger, named(1, "back"), said="sick", rejected=True)
    assert (said(ledger), said(ledger, rejected=True)) == ([(2, "sick")], [(1, "sick")])


def test_a_study_that_another_scorer_read_later_is_not_overwritten_by_what_it_was(opened: Open) -> None:
    slow, quick = opened(), opened()
    slow.claim([named(1)])
    end(quick, named(1, "changed"), said="healthy")
    assert slow.claim([named(1, "changed")]).done == 1
    assert said(slow) == said(quick) == [(1, "healthy")]


def test_two_that_score_one_study_leave_one_row_which_every_reader_sees(opened: Open) -> None:
    one, other = opened(), opened()
    ahead = [named(1), named(2)]
    one.claim(ahead)
    other.claim(ahead)
    kept = one.commit([entry(named(1), "by one"), entry(named(2), "by one")])
    kept += other.commit([entry(named(1), "by other"), entry(named(2), "by other")])
    for ledger in (one, other):
        ledger.close()
    readers = [said(opened()) for _ in range(3)]
    assert readers[0] == readers[1] == readers[2]
    assert [number for number, _ in readers[0]] == [1, 2]
    assert kept in {2, 4}


def test_rows_come_in_the_order_of_the_table_that_last_named_them(opened: Open) -> None:
    ledger = opened()
    end(ledger, *(named(number) for number in (5, 3, 9)))
    ledger.close()
    again = opened()
    assert again.claim([named(5, row=1), named(3, row=2), named(9, row=0)]).done == 3
    with again.exporting(lambda _: None):
        assert [(number, row["study_id"]) for number, row in again.rows(rejected=False)] == [(0, "s9"), (1, "s5"), (2, "s3")]
    again.close()
    with (last := opened()).exporting(lambda _: None):
        assert [number for number, _ in last.rows(rejected=False)] == [0, 1, 2]


def test_a_renumbered_study_that_then_changes_keeps_its_last_number(opened: Open) -> None:
    ledger = opened()
    end(ledger, named(1))
    ledger.claim([named(1, row=7)])
    end(ledger, named(1, "changed", row=8), said="healthy")
    assert said(ledger) == [(8, "healthy")]


def test_models_share_no_row_and_the_last_one_opened_has_the_folder(opened: Open) -> None:
    old, new = opened(), opened(OTHER)
    end(old, named(1), said="by the old")
    assert claimed(new, named(1)) == [named(1).key]
    new.commit([entry(named(1), "by the new")])
    assert (old.ours(), new.ours()) == (False, True)
    with old.exporting(lambda _: None) as ours:
        assert not ours
    assert said(new) == [(1, "by the new")]
    assert said(opened()) == [(1, "by the old")]  # taken back, with nothing to do again
    assert not new.ours()


def test_rejected_studies_are_forgotten_on_request(opened: Open) -> None:
    ledger = opened()
    end(ledger, named(1))
    end(ledger, named(2), named(3), rejected=True)
    assert ledger.forget_rejected(lambda _: False) == 0
    assert ledger.forget_rejected(lambda key: key == named(2).key) == 1
    assert said(ledger, rejected=True) == [(3, "sick")]
    assert ledger.forget_rejected(lambda _: True) == 1
    assert ledger.forget_rejected(lambda _: True) == 0
    assert ledger.known([named(2).key]) == {}
    assert said(ledger, rejected=True) == []
    assert claimed(ledger, named(1), named(2), named(3)) == [named(2).key, named(3).key]
    ledger.close()
    later = opened()
    assert end(later, named(2)) == 1
    assert said(later) == [(1, "sick"), (2, "sick")]


def test_nobody_else_can_read_what_a_ledger_keeps(opened: Open, tmp_path: Path) -> None:
    ledger = opened()
    for number in range(12):
        end(ledger, named(number))
    said(ledger)
    end(ledger, named(20))
    for place in (tmp_path / FOLDER, *(tmp_path / FOLDER).rglob("*")):
        assert stat.S_IMODE(place.stat().st_mode) == (0o700 if place.is_dir() else 0o600), place
        assert "s1" not in place.name
    ledger.close()


def test_many_rows_come_back_sorted_whoever_wrote_them(opened: Open) -> None:
    scorers = [opened() for _ in range(3)]
    for start in range(0, 600, 20):
        end(scorers[start // 20 % 3], *(named(599 - number) for number in range(start, start + 20)), said=str(start))
    for ledger in scorers:
        ledger.close()
    ledger = opened()
    assert [number for number, _ in said(ledger)] == list(range(600))
    assert len(ledger.known([named(number).key for number in range(700)])) == 600


SCORER = """
import sys, time
from pathlib import Path
from medmm.scoring import ledger
sys.path.insert(0, "tests")
from test_ledger import named, entry
kind, out, ending = sys.argv[1:]
one = ledger.LEDGERS[kind](Path(out), "a" * 64)
studies = [named(number) for number in range(4)]
one.claim(studies)
one.commit([entry(studies[0])])
print("claimed", flush=True)
time.sleep(100)
"""


def other_scorer(kind: str, out: Path) -> "subprocess.Popen[str]":
    """Start a process that claims studies 0 to 3 and commits the first."""
    scorer = subprocess.Popen([sys.executable, "-c", SCORER, kind, str(out), ""], stdout=subprocess.PIPE, text=True)
    assert scorer.stdout is not None
    assert scorer.stdout.readline() == "claimed\n"
    return scorer


def test_what_a_living_scorer_claimed_is_its_own_and_a_dead_ones_is_free_at_once(tmp_path: Path) -> None:
    with other_scorer("sqlite", tmp_path) as scorer:
        ledger = opening("sqlite", tmp_path)
        studies = [named(number) for number in range(6)]
        told = ledger.claim(studies)
        assert ([one.study.row for one in told.mine], [one.study.row for one in told.others], told.done) == (
            [4, 5],
            [1, 2, 3],
            1,
        )
        assert claimed(ledger, named(1, "changed")) == [named(1).key]  # what it was, no living scorer can say
        scorer.kill()
        scorer.wait()
        assert claimed(ledger, *studies) == [one.key for one in studies[1:]]
        ledger.close()
    assert sorted(file.name for file in (tmp_path / FOLDER).iterdir()) == ["ledger.sqlite", "opening.lock"]


def test_a_claim_that_was_taken_anew_since_is_not_committed(tmp_path: Path) -> None:
    slow, quick = opening("sqlite", tmp_path), opening("sqlite", tmp_path)
    slow.claim([named(1), named(2)])
    quick.claim([named(1, "changed")])
    assert slow.commit([entry(named(1)), entry(named(2))]) == 1
    assert quick.commit([entry(named(1, "changed"), "healthy")]) == 1
    assert said(quick) == [(1, "healthy"), (2, "sick")]


def test_files_of_dead_scorers_and_of_killed_writers_are_swept(tmp_path: Path) -> None:
    opening("sqlite", tmp_path).close()
    dead = tmp_path / FOLDER / "dead.owner"
    dead.touch()
    left, held = tmp_path / ".writing-left.parquet", tmp_path / ".writing-held.parquet"
    left.touch()
    held.touch()
    ledger = opening("sqlite", tmp_path)
    assert not dead.exists()
    with held.open("rb") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        said(ledger)
    assert (left.exists(), held.exists()) == (False, True)


def test_an_export_waits_for_another_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "PATIENCE_SECONDS", 0.1)
    one, other = opening("sqlite", tmp_path), opening("sqlite", tmp_path)
    told: list[str] = []
    ended: list[float] = []

    def export() -> None:
        with other.exporting(told.append):
            ended.append(time.monotonic())

    with one.exporting(told.append):
        thread = threading.Thread(target=export)
        thread.start()
        while not told:
            time.sleep(0.01)
        time.sleep(0.1)
        assert ended == []
        free = time.monotonic()
    thread.join()
    assert ended[0] >= free
    assert len(told) == 1
    assert "another scorer" in told[0]


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (lambda file: file.write_bytes(b"no database at all, but long enough to look like one" * 100), "damaged"),
        (lambda file: file.write_bytes(file.read_bytes()[:5000]), "damaged"),
        (lambda file: execute(file, "PRAGMA user_version = 7"), "version 7, this medmm reads 1"),
    ],
)
def test_a_damaged_ledger_and_one_of_another_version_are_refused(
    tmp_path: Path, damage: Callable[[Path], object], text: str
) -> None:
    ledger = opening("sqlite", tmp_path)
    for number in range(200):
        end(ledger, named(number))
    ledger.close()
    damage(tmp_path / FOLDER / "ledger.sqlite")
    with pytest.raises(DataError, match=text) as caught:
        list(opening("sqlite", tmp_path).rows(rejected=False))
    assert str(tmp_path) not in str(caught.value)
    assert [file.name for file in (tmp_path / FOLDER).glob("*.owner")] == [] or "damaged" in text


def execute(file: Path, statement: str) -> None:
    base = sqlite3.connect(file)
    base.execute(statement)
    base.commit()
    base.close()


def test_a_full_disk_is_said_and_loses_nothing(tmp_path: Path) -> None:
    ledger = opening("sqlite", tmp_path)
    end(ledger, named(1))
    pages = ledger._base.execute("PRAGMA page_count").fetchone()[0]
    ledger._base.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(DataError, match="disk of the output folder is full"):
        end(ledger, *(named(number) for number in range(2, 500)))
    ledger._base.execute("PRAGMA max_page_count = 1000000")
    assert said(ledger) == [(1, "sick")]
    end(ledger, named(2))
    assert said(ledger) == [(1, "sick"), (2, "sick")]
    ledger.close()


def test_a_scorer_that_stops_within_a_transaction_is_named_to_those_who_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.1)
    one, other = opening("sqlite", tmp_path), opening("sqlite", tmp_path)
    one._base.execute("BEGIN IMMEDIATE")
    with pytest.raises(DataError, match="another scorer has held the ledger"):
        other.claim([named(1)])
    other.close()  # which cannot free its claims, and ends all the same
    one._base.execute("ROLLBACK")
    assert claimed(one, named(1)) == [named(1).key]


def test_many_scorers_open_a_new_folder_at_once(tmp_path: Path) -> None:
    code = (
        f"from medmm.scoring.ledger import *; from pathlib import Path; SqliteLedger(Path({str(tmp_path)!r}), 'm' * 64).close()"
    )
    scorers = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(4)]
    assert [scorer.wait() for scorer in scorers] == [0] * 4


def test_threads_of_one_scorer_share_its_ledger(opened: Open) -> None:
    ledger = opened()
    faults: list[BaseException] = []

    def work(first: int) -> None:
        try:
            for number in range(first, 100, 4):
                end(ledger, named(number))
        except BaseException as fault:  # noqa: BLE001
            faults.append(fault)

    threads = [threading.Thread(target=work, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults
    assert len(said(ledger)) == 100


def files(out: Path) -> list[str]:
    return sorted(file.name for file in (out / FOLDER / "partitions").rglob("*.rows"))


def test_partitions_are_merged_as_they_grow_and_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partitions, "MANY", 10)
    ledger = opening("partitions", tmp_path)
    for number in range(100):
        end(ledger, named(number))
        assert len(files(tmp_path)) <= 10
    ledger.close()
    assert len(files(tmp_path)) == 1
    assert len(said(opening("partitions", tmp_path))) == 100


def test_a_kill_before_merged_partitions_are_removed_doubles_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = opening("partitions", tmp_path)
    for number in range(20):
        end(ledger, named(number))
    end(ledger, named(3, "changed"), said="healthy")
    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", lambda *_args, **_words: None)
        said(ledger)
    assert len(files(tmp_path)) == 22
    expected = [(number, "healthy" if number == 3 else "sick") for number in range(20)]
    assert said(opening("partitions", tmp_path)) == expected
    (merged,) = (tmp_path / FOLDER / "partitions").rglob("*.rows")
    assert merged.read_bytes().count(b"\n") == 20
    assert said(opening("partitions", tmp_path)) == expected


def test_rows_are_found_again_when_another_scorer_merges_them_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partitions, "FEW", 0)
    writer, reader = opening("partitions", tmp_path), None
    for number in range(20):
        end(writer, named(number))
    reader = opening("partitions", tmp_path)
    rows = reader.rows(rejected=False)
    assert next(rows)[0] == 0
    writer.close()
    other = opening("partitions", tmp_path)
    end(other, named(30))
    said(other)
    assert [number for number, _ in rows] == list(range(1, 20))


def test_scorers_that_merge_at_once_lose_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partitions, "FEW", 0)
    monkeypatch.setattr(partitions, "MANY", 7)
    faults: list[BaseException] = []

    def work(first: int) -> None:
        try:
            ledger = opening("partitions", tmp_path)
            for number in range(first, 240, 3):
                end(ledger, named(number))
                if number % 10 == first:
                    said(ledger)
            ledger.close()
        except BaseException as fault:  # noqa: BLE001
            faults.append(fault)

    threads = [threading.Thread(target=work, args=(first,)) for first in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults
    assert said(opening("partitions", tmp_path)) == [(number, "sick") for number in range(240)]


@pytest.mark.parametrize("damage", [b"", b"no json\trow\n", b'["too", "short"]\trow\n'])
def test_a_damaged_partition_is_refused(tmp_path: Path, damage: bytes) -> None:
    ledger = opening("partitions", tmp_path)
    end(ledger, named(1), named(2))
    (file,) = (tmp_path / FOLDER / "partitions").rglob("*.rows")
    file.write_bytes(damage or file.read_bytes()[:-1])
    with pytest.raises(DataError, match="damaged: move its folder"):
        opening("partitions", tmp_path)


def test_what_was_superseded_stays_so_whatever_the_clocks_say(tmp_path: Path) -> None:
    old = opening("partitions", tmp_path)
    end(old, named(1, "f"), said="first")
    late = opening("partitions", tmp_path)
    end(late, named(1, "a"), said="second")  # its digest is the smaller one
    for file in (tmp_path / FOLDER / "partitions").rglob("*.rows"):
        os.utime(file, (0, 0) if b"second" in file.read_bytes() else None)
    assert said(opening("partitions", tmp_path)) == [(1, "second")]


def test_auto_takes_the_ledger_that_is_there_then_that_of_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def kind(name: str, asked: str = "auto", sharded: bool = False) -> type[Ledger]:
        ledger = open_ledger(tmp_path / name, MODEL, asked, sharded=sharded)
        ledger.close()
        return type(ledger)

    assert kind("local") is SqliteLedger
    assert kind("shards", sharded=True) is PartitionLedger
    assert kind("shards") is PartitionLedger
    assert kind("local", sharded=True) is SqliteLedger
    assert kind("asked", "sqlite", sharded=True) is SqliteLedger
    monkeypatch.setattr(ledgers, "is_shared", lambda _: True)
    assert kind("network") is PartitionLedger
    assert kind("local") is SqliteLedger
    with pytest.raises(ConfigError, match="has a ledger of the kind sqlite"):
        kind("local", "partitions")
    with pytest.raises(ConfigError, match="no ledger is called 'sqlight': did you mean 'sqlite'"):
        kind("new", "sqlight")


def test_a_network_disk_is_known_by_its_mount(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(
        "/dev/vda / ext4 rw 0 0\nserver:/home /home nfs4 rw 0 0\n/dev/vdb /home/fast xfs rw 0 0\n"
        "fs /the\\040lake lustre rw 0 0\nfs /sshfs fuse.sshfs rw 0 0\n"
        "/dev/sdc /usb fuseblk rw 0 0\nserver:/x /over nfs rw 0 0\n/dev/vdd /over ext4 rw 0 0\n"
    )
    shared = {
        place: is_shared(Path(place), mounts) for place in ("/tmp/x", "/home/a/b", "/home/fast/a", "/homeless", "/over/x")
    }
    assert shared == {"/tmp/x": False, "/home/a/b": True, "/home/fast/a": False, "/homeless": False, "/over/x": False}
    assert is_shared(Path("/the lake/out"), mounts)
    assert is_shared(Path("/sshfs/out"), mounts)
    assert not is_shared(Path("/usb/out"), mounts)
    assert not is_shared(tmp_path, tmp_path / "no such table")


def test_each_study_is_in_one_shard_and_shards_are_alike_in_size() -> None:
    import hashlib

    keys = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(4000)]
    shards = [Shard.parse(f"{number}/8") for number in range(1, 9)]
    found = [[key for key in keys if shard.of(key)] for shard in shards]
    assert sorted(key for some in found for key in some) == sorted(keys)
    assert all(420 < len(some) < 580 for some in found)
    assert Shard.parse("1/1").of(keys[0])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("3", "3/8 for the third"),
        ("a/b", "i/n"),
        ("0/8", "here 1/8"),
        ("9/8", "none of the shards 1/8 to 8/8"),
        ("0/0", "none of"),
    ],
)
def test_a_wrong_shard_is_refused_with_a_right_one(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Shard.parse(text)


def test_a_shard_has_ended_when_all_its_studies_stand_as_they_are(opened: Open, tmp_path: Path) -> None:
    file = tmp_path / "image"
    file.write_text("an image")
    one = Named(Study(0, "p", "s", evidence={"chest": Evidence(files=(file,))}), f"{0:015x}", "")
    other = Named(Study(1, "p", "t"), f"{1:015x}", "")

    class Asked:
        def __init__(self, named: Named) -> None:
            self.study, self.key = named.study, named.key

    def numbers(ledger: Ledger) -> Sequence[int]:
        return unfinished(ledger, [Asked(one), Asked(other)], 2)

    def stands(ledger: Ledger, named: Named) -> None:
        end(ledger, Named(named.study, named.key, study_digest(named.study)))

    ledger = opened()
    assert (number_of(one.key, 2), number_of(other.key, 2)) == (1, 2)
    assert numbers(ledger) == (1, 2)
    stands(ledger, other)
    assert numbers(ledger) == (1,)
    stands(ledger, one)
    assert numbers(opened()) == ()
    file.write_text("another image")
    assert numbers(ledger) == (1,)


def test_a_row_is_plain_json(opened: Open) -> None:
    ledger = opened()
    end(ledger, named(1))
    (row,) = ledger.rows(rejected=False)
    assert json.loads(json.dumps(row[1])) == row[1]
