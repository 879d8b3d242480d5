"""A study that arrives is given once, with all of its files, when it is at rest; and again only when it has changed."""

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from medmm.cohort.synthetic import SyntheticSettings, make_cohort
from medmm.errors import Code, ConfigError, DataError
from medmm.package import Package
from medmm.scoring.arrivals import arrivals
from medmm.scoring.engine import Options
from medmm.scoring.run import score
from medmm.scoring.studies import find_studies
from medmm.scoring.watching import Pace, Sight, settled, stopping
from medmm.types import Study

PACE = Pace(settle_seconds=30, poll_seconds=5, most=1000)
SMALL = {"radiograph_size": 32, "ct_size": 32, "ct_slices": 4, "seed": 1, "first_patient": 100}


class Clock:
    """Time that passes only while somebody waits for the next look; what happens then is up to the test.

    Args:
        happen: Called after each wait with the time in seconds; gives whether it has come to an end.
    """

    def __init__(self, happen: Callable[[float], bool]) -> None:
        self.stop = threading.Event()
        self.stop.wait = self._wait  # type: ignore[method-assign]
        self.seconds = 0.0
        self._happen = happen

    def _wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.seconds += timeout
        if self._happen(self.seconds):
            self.stop.set()
        return self.stop.is_set()

    def __call__(self) -> float:
        return self.seconds


def at_end(seconds: float) -> Callable[[float], bool]:
    return lambda now: now >= seconds


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("source")
    make_cohort(root, SyntheticSettings.model_validate({**SMALL, "patients": 4}))
    return root


def sort_by_study(package: Package, source: Path) -> dict[str, tuple[Path, ...]]:
    """Give the files of each study, of all its series."""
    studies = find_studies(package, source)
    return {study.study_id: tuple(f for one in study.evidence.values() for f in one.files) for study in studies}


# what is at rest


def watched(looks: dict[int, dict[str, Sight] | Exception], pace: Pace, end: float) -> list[tuple[float, str]]:
    """Watch what a series of looks shows, each from its time on; give what was given when."""
    clock = Clock(at_end(end))

    def look() -> dict[str, Sight]:
        shown = looks[max(time for time in looks if time <= clock.seconds)]
        if isinstance(shown, Exception):
            raise shown
        return shown

    return [(clock.seconds, key) for keys in settled(look, pace, clock.stop, clock=clock) for key in keys]


def test_what_is_at_rest_is_given_once() -> None:
    assert watched({0: {"a": Sight(1)}}, PACE, 300) == [(30, "a")]


def test_a_change_starts_the_wait_anew_and_what_was_given_is_given_again() -> None:
    looks: dict[int, dict[str, Sight] | Exception] = {
        0: {"a": Sight(1), "b": Sight(1)},
        20: {"a": Sight(2), "b": Sight(1)},
        40: {"a": Sight(3), "b": Sight(1)},
        100: {"a": Sight(3), "b": Sight(2)},
    }
    assert watched(looks, PACE, 300) == [(30, "b"), (70, "a"), (130, "b")]


def test_what_vanishes_and_comes_back_as_it_was_is_not_given_again() -> None:
    assert watched({0: {"a": Sight(1)}, 50: {}, 100: {"a": Sight(1)}}, PACE, 300) == [(30, "a")]
    assert watched({0: {"a": Sight(1)}, 20: {}, 25: {"a": Sight(1)}}, PACE, 300) == [(55, "a")]  # it was away


def test_others_are_waited_for_but_do_not_start_the_wait_anew() -> None:
    table = Sight(1, wanted=False)
    looks: dict[int, dict[str, Sight] | Exception] = {
        time: {"a": Sight(1, after=frozenset({"t"})), "t": Sight(time, wanted=False)} for time in (0, 20, 40)
    }
    assert watched(looks, PACE, 300) == [(70, "a")]
    looks[50] = {"a": Sight(1)}  # it is no other any more
    assert watched(looks, PACE, 300) == [(50, "a")]
    assert watched({0: {"t": table}}, PACE, 300) == []


def test_what_is_unfinished_waits_however_long_it_rests() -> None:
    assert watched({0: {"a": Sight(1, unfinished=True)}, 500: {"a": Sight(1)}}, PACE, 900) == [(500, "a")]


def test_no_more_than_asked_for_are_given_at_a_time() -> None:
    clock = Clock(at_end(300))
    looks = [0]

    def look() -> dict[int, Sight]:
        looks[0] += 1
        return {number: Sight(0) for number in range(7)}

    given = list(settled(look, Pace(30, 5, most=3), clock.stop, clock=clock))
    assert given == [[0, 1, 2], [3, 4, 5], [6]]


def test_a_look_that_fails_is_said_once_and_tried_again() -> None:
    clock, said, looks = Clock(at_end(300)), [], [0]
    faults = {2: DataError("no table"), 3: DataError("no table"), 4: FileNotFoundError(2, "No such file", "/data/Miller.dcm")}

    def look() -> dict[str, Sight]:
        looks[0] += 1
        if looks[0] in faults:
            raise faults[looks[0]]
        return {"a": Sight(1)}

    given = [clock.seconds for _ in settled(look, PACE, clock.stop, said.append, clock)]
    assert given == [30]
    assert len(said) == 2
    assert "no table" in said[0]
    assert "Miller" not in said[1]


def test_what_no_waiting_can_mend_ends_the_watch() -> None:
    def look() -> dict[str, Sight]:
        raise ConfigError("refused")

    with pytest.raises(ConfigError):
        next(settled(look, PACE, threading.Event()))


def test_a_time_that_a_look_itself_takes_is_no_time_of_rest() -> None:
    seconds = iter([0, 100, 100, 200, 200, 300])  # begun and ended
    clock = lambda: next(seconds)  # noqa: E731
    looks = [0]

    def look() -> dict[str, Sight]:
        looks[0] += 1
        return {"a": Sight(1)}

    assert next(settled(look, Pace(100, 0.0), threading.Event(), clock=clock)) == ["a"]
    assert looks[0] == 3  # seen at the end of the first, so at rest for 100 s at the beginning of the third


# signals


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_asks_to_stop_and_the_old_handlers_come_back(number: signal.Signals) -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with stopping() as stop:
        assert not stop.is_set()
        os.kill(os.getpid(), number)
        assert stop.wait(5)
        assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before  # a second one ends at once
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_the_handlers_come_back_after_an_error() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(RuntimeError), stopping():
        raise RuntimeError
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_signal_may_come_at_any_moment_of_a_wait() -> None:
    """The handler runs in the thread that waits: were it to take the event's own lock there, this would hang."""
    for _ in range(300):
        with stopping() as stop:
            timer = threading.Timer(random.random() * 0.002, os.kill, (os.getpid(), signal.SIGTERM))
            timer.start()
            while not stop.wait(0.0001):
                pass
            timer.join()


# folders


def given(
    package: Package, place: Path, clock: Clock, said: list[str] | None = None, pace: Pace = PACE, memory: Path | None = None
) -> Iterator[tuple[float, Study]]:
    told = [] if said is None else said
    for studies in arrivals(package, place, pace, clock.stop, clock=clock, notice=told.append, memory=memory):
        yield from ((clock.seconds, study) for study in studies)


def test_a_folder_that_is_there_is_given_once_as_find_studies_gives_it(loaded: Package, source: Path) -> None:
    for place in (source, source / "studies.csv"):
        found = list(given(loaded, place, Clock(at_end(200))))
        assert [study for _, study in found] == list(find_studies(loaded, place))
        assert {when for when, _ in found} == {30}


def test_images_alone_are_given_once_with_all_their_slices(loaded: Package, source: Path) -> None:
    found = [study for _, study in given(loaded, source / "dicom", Clock(at_end(200)))]
    assert found == list(find_studies(loaded, source / "dicom"))


class Writer:
    """Drops files into a folder, many through a temporary name, each in pieces, five at a time; an action at a time.

    Args:
        files: Whence and whither.
        seed: Of all that is random.
        near: So many files that follow each other come in random order.
    """

    def __init__(self, files: dict[Path, Path], seed: int, near: int) -> None:
        self._chance = random.Random(seed)
        some = [list(files.items())[begin : begin + near] for begin in range(0, len(files), near)]
        for one in some:
            self._chance.shuffle(one)
        self.waiting = [self._steps(source, target) for one in reversed(some) for source, target in one]
        self.under_way: list[Iterator[None]] = []
        self.acts = 0

    def _steps(self, source: Path, target: Path) -> Iterator[None]:
        content = source.read_bytes()
        target.parent.mkdir(parents=True, exist_ok=True)
        name = self._chance.choice([target.name, f"{target.name}.part", f".{target.name}.Xy12", f"{target.name}.tmp"])
        path = target.parent / name
        cuts = sorted(self._chance.sample(range(1, len(content)), 2))
        if self._chance.random() < 0.2:
            path.write_bytes(bytes(len(content)))  # room made beforehand
            yield
        with path.open("wb") as file:
            yield
            for begin, end in zip([0, *cuts], [*cuts, len(content)], strict=True):
                file.write(content[begin:end])
                file.flush()
                yield
        if path != target:
            path.replace(target)

    def act(self, times: int) -> None:
        for _ in range(times):
            self.acts += 1
            while len(self.under_way) < 5 and self.waiting:
                self.under_way.append(self.waiting.pop())
            if self.under_way:
                one = self._chance.choice(self.under_way)
                if next(one, "ended") == "ended":
                    self.under_way.remove(one)


@pytest.mark.parametrize(("flat", "seed"), [(True, 0), (False, 1)])
def test_a_study_that_arrives_slowly_is_never_given_in_part(
    loaded: Package, source: Path, tmp_path: Path, flat: bool, seed: int
) -> None:
    """Files of all studies come interleaved, some folders hold several studies, and nothing comes in the order of slices."""
    files = sort_by_study(loaded, source / "dicom")
    targets = {
        path: tmp_path / "in" / ("" if flat else f"s{number}") / f"{number}-{index}"
        for number, paths in enumerate(files.values())
        for index, path in enumerate(paths)
    }
    (tmp_path / "in").mkdir()
    # Two studies at a time, so that the files of one follow each other within less than the time to settle.
    writer, ended = Writer(targets, seed, near=10), [0.0]

    def happen(now: float) -> bool:
        writer.act(10)
        if writer.under_way or writer.waiting:
            ended[0] = now
        return now > ended[0] + 100

    found = list(given(loaded, tmp_path / "in", Clock(happen), memory=tmp_path / "memory"))
    assert Counter(study.study_id for _, study in found) == Counter(files.keys())
    for _, study in found:
        assert not study.rejected
        assert sum(len(one.files) for one in study.evidence.values()) == len(files[study.study_id])


def test_a_study_that_gets_more_files_is_given_again(loaded: Package, source: Path, tmp_path: Path) -> None:
    files = sort_by_study(loaded, source / "dicom")
    study, paths = next((uid, paths) for uid, paths in files.items() if len(paths) > 4)
    held_back = paths[-1]
    for path in (p for own in files.values() for p in own if p != held_back):
        (tmp_path / path.name).write_bytes(path.read_bytes())

    def happen(now: float) -> bool:
        if now == 100:
            (tmp_path / held_back.name).write_bytes(held_back.read_bytes())
        return now > 200

    found = [(when, one.study_id) for when, one in given(loaded, tmp_path, Clock(happen))]
    assert Counter(name for _, name in found) == {**dict.fromkeys(files, 1), study: 2}
    assert [when for when, name in found if name == study] == [30, 130]


def test_a_truncated_file_waits_until_it_is_at_rest_and_is_rejected_then(loaded: Package, source: Path, tmp_path: Path) -> None:
    files = sort_by_study(loaded, source / "dicom")
    study, paths = next((uid, paths) for uid, paths in files.items() if len(paths) > 4)
    for number, path in enumerate(paths):
        content = path.read_bytes()
        (tmp_path / str(number)).write_bytes(content[: len(content) * 3 // 4] if number == 2 else content)
    whole = paths[2].read_bytes()

    def happen(now: float) -> bool:
        if now <= 60:  # it grows, slowly
            (tmp_path / "2").write_bytes(whole[: len(whole) * 3 // 4 + int(now)])
        if now == 150:
            (tmp_path / "2").write_bytes(whole)
        return now > 300

    found = list(given(loaded, tmp_path, Clock(happen)))
    assert [when for when, _ in found] == [90, 180]
    assert [reason.code for reason in found[0][1].rejected.values()] == [Code.TRUNCATED]
    assert not found[1][1].rejected
    assert found[1][1].study_id == study


def test_a_file_under_a_name_of_a_copy_is_waited_for_and_said(loaded: Package, source: Path, tmp_path: Path) -> None:
    files = sort_by_study(loaded, source / "dicom")
    for number, paths in enumerate(files.values()):
        for index, path in enumerate(paths):
            (tmp_path / f"{number}-{index}").write_bytes(path.read_bytes())
    waiting = next(iter(files))
    (tmp_path / "0-0").rename(tmp_path / "0-0.part")

    def happen(now: float) -> bool:
        if now == 300:
            (tmp_path / "0-0.part").rename(tmp_path / "0-0")
        return now > 400

    said: list[str] = []
    found = [(when, study.study_id) for when, study in given(loaded, tmp_path, Clock(happen), said)]
    assert found == [*((30, uid) for uid in sorted(files) if uid != waiting), (330, waiting)]
    assert sum("name of a copy" in text for text in said) == 1
    assert not any(uid in text for uid in files for text in said)


def test_a_file_that_cannot_be_told_yet_holds_those_beside_it(loaded: Package, source: Path, tmp_path: Path) -> None:
    """An empty file, then one of zeros, then the slice that it was to become."""
    files = sort_by_study(loaded, source / "dicom")
    paths = next(paths for paths in files.values() if len(paths) > 4)
    for path in paths[:-1]:
        (tmp_path / path.name).write_bytes(path.read_bytes())
    last = tmp_path / paths[-1].name
    last.touch()

    def happen(now: float) -> bool:
        if now in {20, 40}:
            last.write_bytes(bytes(100 * int(now)))
        if now == 60:
            last.write_bytes(paths[-1].read_bytes())
        return now > 100

    ((when, study),) = given(loaded, tmp_path, Clock(happen))
    assert when == 90
    assert sum(len(one.files) for one in study.evidence.values()) == len(paths)


def test_a_table_that_is_being_written_holds_all_until_it_is_at_rest(loaded: Package, source: Path, tmp_path: Path) -> None:
    """A first look finds no table, then half of one; rows that come later are studies that come later."""
    place = tmp_path / "in"
    place.mkdir()
    shutil.copytree(source / "dicom", place / "dicom")
    lines = (source / "studies.csv").read_text().splitlines(keepends=True)
    for name in ("labs.csv", "notes.csv"):
        (place / name).write_bytes((source / name).read_bytes())

    def happen(now: float) -> bool:
        if now == 20:
            (place / "studies.csv").write_text("".join(lines[:3])[:-4])
        if now == 40:
            (place / "studies.csv").write_text("".join(lines[:4]))
        if now == 60:
            (place / "studies.csv").write_text("".join(lines[:5]))
        if now == 100:
            (place / "studies.csv").write_text("".join(lines))
        return now > 200

    said: list[str] = []
    found = [(when, study.study_id) for when, study in given(loaded, place, Clock(happen), said)]
    names = pd.read_csv(source / "studies.csv", dtype=str)["study_id"].tolist()
    assert found == [*((90, name) for name in names[:4]), *((130, name) for name in names[4:])]
    assert sum("cannot be read yet" in text for text in said) == 2  # there is no table; a row of it is half


def test_an_empty_folder_is_waited_for(loaded: Package, source: Path, tmp_path: Path) -> None:
    place = tmp_path / "in"

    def happen(now: float) -> bool:
        if now == 50:
            place.mkdir()
        if now == 100:
            for path in (source / "dicom").rglob("IM*"):
                (place / path.name).write_bytes(path.read_bytes())
        return now > 200

    said: list[str] = []
    found = list(given(loaded, place, Clock(happen), said))
    assert {when for when, _ in found} == {130}
    assert len(said) == len(set(said))


def test_a_folder_that_does_not_change_is_not_read_again(
    loaded: Package, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from medmm.scoring import arrivals as module

    calls = [0]

    def counted(*some: object, **named: object) -> object:
        calls[0] += 1
        return find_studies(*some, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "find_studies", counted)
    assert list(given(loaded, source / "dicom", Clock(at_end(500))))
    assert calls == [1]


def test_files_that_can_be_no_image_hold_nobody(loaded: Package, source: Path, tmp_path: Path) -> None:
    """A log of the sender that never rests, a pipe, which to open takes for ever, and a link."""
    for path in (source / "dicom").rglob("IM*"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "pipe")

    def happen(now: float) -> bool:
        (tmp_path / "transfer.log").write_text(f"still sending at {now}")
        return now > 40

    assert {when for when, _ in given(loaded, tmp_path, Clock(happen))} == {30}


@pytest.mark.slow
def test_a_stream_of_200_studies_is_given_each_once_and_whole(loaded: Package, tmp_path: Path) -> None:
    """A thread drops the files of 200 studies while they are watched."""
    make_cohort(tmp_path / "source", SyntheticSettings.model_validate({**SMALL, "patients": 145}))
    files = sort_by_study(loaded, tmp_path / "source/dicom")
    files = dict(list(files.items())[:200])
    assert len(files) == 200
    place = tmp_path / "in"
    place.mkdir()
    targets = {
        path: place / f"{number % 40:02d}" / f"{number}-{index}"
        for number, paths in enumerate(files.values())
        for index, path in enumerate(paths)
    }
    writer, stop = Writer(targets, seed=5, near=20), threading.Event()
    deadline = time.monotonic() + 240

    def write() -> None:
        while (writer.waiting or writer.under_way) and not stop.is_set():
            writer.act(10)
            time.sleep(0.03)

    def clock() -> float:
        """Count the acts of the writer, so that a thread that is kept waiting on a busy machine is no pause of the sender."""
        return writer.acts + (0.0 if thread.is_alive() else 1e6 * (time.monotonic() - begun))

    thread, begun = threading.Thread(target=write), time.monotonic()
    thread.start()
    found: list[Study] = []
    while_writing = 0
    # The files of a study come within some 150 acts.
    for studies in arrivals(loaded, place, Pace(400, 0.01), stop, memory=tmp_path / "memory", clock=clock):
        found += studies
        while_writing += len(studies) if thread.is_alive() else 0
        if len(found) >= len(files) or time.monotonic() > deadline:
            stop.set()
    stop.set()
    thread.join()
    assert while_writing > 20
    assert Counter(study.study_id for study in found) == Counter(files.keys())
    for study in found:
        assert not study.rejected
        assert sum(len(one.files) for one in study.evidence.values()) == len(files[study.study_id])


@pytest.mark.slow
def test_sigterm_to_all_processes_ends_a_watch_after_the_studies_in_hand(
    loaded: Package, source: Path, saved: Path, tmp_path: Path
) -> None:
    place, out = tmp_path / "in", tmp_path / "out"
    place.mkdir()
    files = sorted((source / "dicom").rglob("IM*"))
    half = len(files) // 2
    for path in files[:half]:
        (place / path.name).write_bytes(path.read_bytes())
    command = [sys.executable, "-m", "medmm.workflows", "score", str(saved), str(place), "--out", str(out), "--workers", "1"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    watch = [*command, "--watch", "--settle", "1", "--poll", "0.2"]
    child = subprocess.Popen(watch, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        deadline = time.monotonic() + 200
        while not (out / "scores.parquet").exists():
            assert child.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        first = len(pq.read_table(out / "scores.parquet")) + len(pq.read_table(out / "rejected.parquet"))
        assert first > 0
        for path in files[half:]:
            (place / path.name).write_bytes(path.read_bytes())
        time.sleep(1.5)  # about when the next round begins
        os.killpg(child.pid, signal.SIGTERM)
        said, _ = child.communicate(timeout=100)
    finally:
        child.kill()
        child.wait()
    assert child.returncode == 0, said
    assert "studies scored" in said
    codes = pq.read_table(out / "rejected.parquet")["code"].to_pylist()
    assert Code.CRASH.value not in codes
    clean = tmp_path / "clean"
    for folder in (out, clean):
        score(loaded, find_studies(loaded, place), folder, Options(workers=0))  # the first goes on where the watch ended
    for name in ("scores", "rejected"):
        one, other = (
            pq.read_table(folder / f"{name}.parquet").drop_columns("scored_at") for folder in (out, tmp_path / "clean")
        )
        assert one.equals(other)
