"""Scoring in rounds: each is kept at once, results are written when it ends, and what was ended early goes on."""

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from dicomweb_server import Answer, Pacs, serving
from rich.console import Console

from medmm.cohort.synthetic import SyntheticSettings, make_cohort
from medmm.errors import Code, ConfigError
from medmm.package import Package
from medmm.scoring.dicomweb import incoming as fetching
from medmm.scoring.dicomweb.listing import Search
from medmm.scoring.engine import Options
from medmm.scoring.ledger.sqlite import SqliteLedger
from medmm.scoring.run import Scored, Scorer
from medmm.scoring.watching import Pace
from medmm.workflows import incoming
from medmm.workflows.incoming import Coming, days_of, score_rounds
from medmm.workflows.screen import Screen


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    root = tmp_path_factory.mktemp("cohort")
    make_cohort(root, SyntheticSettings(patients=4, first_patient=100, radiograph_size=32, ct_size=32, ct_slices=4, seed=1))
    return sorted((root / "dicom").rglob("IM*"))


@pytest.fixture
def pacs(files: list[Path]) -> Iterator[Pacs]:
    with serving() as pacs:
        for file in files:
            pacs.store(file)
        yield pacs


def in_rounds(package: Package, studies: str, out: Path, coming: Coming, screen: Screen) -> Scored:
    ledger = SqliteLedger(out, package.digest)
    with Scorer(package, out, Options(workers=0), ledger=ledger) as scorer:
        return score_rounds(scorer, package, studies, out, coming, ledger, screen)


def ended(out: Path) -> dict[str, int | None]:
    """Give the studies of the results, those that are rejected with the number of their row."""
    rejected = pq.read_table(out / "rejected.parquet").to_pylist()
    scores = pq.read_table(out / "scores.parquet")["study_id"].to_pylist()
    return {**dict.fromkeys(scores), **{row["study_id"]: row["row"] for row in rejected}}


def test_days_are_read_or_refused() -> None:
    assert days_of("2024-05-01", None) == (date(2024, 5, 1), None)
    for first, last in (("yesterday", None), (None, "2024-13-01"), ("2024-05-02", "2024-05-01")):
        with pytest.raises(ConfigError, match=r"--to|--from"):
            days_of(first, last)


def test_what_only_a_server_can_do_is_refused_of_a_folder() -> None:
    assert not Coming().in_rounds("incoming/")
    assert Coming(watch=Pace()).in_rounds("incoming/")
    assert Coming(search=Search(most=3)).in_rounds("https://pacs.example/x")
    for coming in (Coming(search=Search(most=3)), Coming(insecure=True)):
        with pytest.raises(ConfigError, match="DICOMweb"):
            coming.in_rounds("incoming/")


def test_a_scoring_of_a_server_that_is_ended_keeps_what_is_done_and_goes_on(
    loaded: Package, pacs: Pacs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = threading.Event()

    @contextmanager
    def stopping() -> Iterator[threading.Event]:
        yield stop

    def few() -> fetching.Fetching:
        return real(least=2, most=2, ahead=1)

    real = fetching.Fetching
    monkeypatch.setattr(incoming, "stopping", stopping)
    monkeypatch.setattr(fetching, "Fetching", few)
    lost = list(pacs.held)[1]

    def fault(request: Answer, path: str) -> bool:
        if lost in path and "/instances/" in path:
            request.give(b"", status=404)
            return True
        if len({one.split("/")[3] for one in pacs.fetched()}) == 5:
            stop.set()
        return False

    pacs.fault = fault
    screen = Screen(Console(file=io.StringIO()))
    with pytest.raises(KeyboardInterrupt):
        in_rounds(loaded, pacs.url, tmp_path, Coming(), screen)
    some = ended(tmp_path)
    assert 0 < len(some) < len(pacs.held)
    assert some[lost] is not None
    before = len(pacs.fetched())
    pacs.fault = lambda request, path: False
    stop.clear()
    done = in_rounds(loaded, pacs.url, tmp_path, Coming(), screen)
    assert done.rejected == {}  # what could not be fetched was tried again
    assert ended(tmp_path).keys() == pacs.held.keys()
    assert done.now == len(pacs.held) - len(some) + 1
    again = {path.split("/")[3] for path in pacs.fetched()[before:]}
    assert not again & (some.keys() - {lost})


def test_studies_are_numbered_on_from_one_scoring_to_the_next(loaded: Package, pacs: Pacs, tmp_path: Path) -> None:
    screen = Screen(Console(file=io.StringIO()))
    for most in (3, None):
        pacs.fault = lambda request, path: "/instances/" in path and (request.give(b"", status=404) or True)
        in_rounds(loaded, pacs.url, tmp_path, Coming(search=Search(most=most)), screen)
    rows = ended(tmp_path)
    assert rows.keys() == pacs.held.keys()
    assert len(set(rows.values())) == len(rows)
    assert set(pq.read_table(tmp_path / "rejected.parquet")["code"].to_pylist()) == {Code.TRANSFER.value}
