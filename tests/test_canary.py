"""A cohort full of planted names through every job of the command: not one in any byte that is written or said.

What must name a study so that somebody can find it again is allowed by file and column, one by one, each with its reason.
"""

import io
import logging
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pydicom
import pytest
import yaml
from canary import STEMS, found, note_of, parts, plant
from test_end_to_end import run_file

from medmm.cohort.synthetic import SyntheticSettings, make_cohort
from medmm.encoders import TEXT_ENCODERS
from medmm.files import json_text
from medmm.scoring.sinks import REPORTS
from medmm.workflows import cli

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

PATIENTS = 50
NOT_RUN = {
    "demo": "makes a cohort of nobody, and then does what is done here job by job",
    "ui": "starts MLflow's own server, which shows the store that is searched here",
}
IDENTIFIERS = frozenset({"patient id", "study id"})


@dataclass(frozen=True)
class Allowed:
    """Where identifiers stand by design.

    Attributes:
        files: Pattern of the path below the folder of all outputs.
        place: Pattern of the column, or of the member.
        kinds: Which identifiers.
        private: Whether nobody but its owner may read the file.
        why: The reason.
    """

    files: str
    place: str
    kinds: frozenset[str]
    private: bool
    why: str


RESULTS = r"scores/\w+/(scores|rejected)\.(parquet|csv)"
LEDGER = r"scores/\w+/\.ledger/ledger\.sqlite(-wal)?"
HEADERS = r"(scores/\w+|runs/\w+)/cache/headers/[0-9a-f]{32}\.json"
SHOWN = frozenset({"family name", "given name", "address", "phone", "note", "birth date, dashed", "patient id"})
ALLOWED: tuple[Allowed, ...] = (
    Allowed(r"shown/study_\d+\.(html|json)", "", SHOWN, False, "the note itself, which --show-text asks for"),
    Allowed(RESULTS, "patient_id", frozenset({"patient id"}), False, "whose the score is, or else nobody can use it"),
    Allowed(
        RESULTS, "study_id", frozenset({"study id", "study uid"}), False, "of which study; its UID where no table names it"
    ),
    Allowed(LEDGER, "rows.cells", frozenset({"patient id", "study id", "study uid"}), True, "the rows that become the results"),
    Allowed(
        HEADERS,
        "",
        frozenset({"patient id", "study id", "study uid", "tag", "file", "folder", "family name"}),
        True,
        "what headers say by paths of files, so that thousands are not read again",
    ),
    Allowed(
        r"scores/parquet/dicom_(sr|saliency)/[\d.]+\.dcm",
        "",
        frozenset({"patient id", "study id", "study uid", "family name", "given name", "birth date", "tag"}),
        False,
        "objects for the archive, which files them by what the header of the images says of the patient",
    ),
    Allowed(
        r"scores/parquet/fhir/(bulk/\w+\.ndjson|transactions/\d+\.json)",
        "",
        frozenset({"patient id", "study id", "study uid"}),
        False,
        "resources for the record, which files them by these",
    ),
    Allowed(
        r"scores/parquet/\.dicom/[0-9a-f]{64}\.json",
        "",
        frozenset({"patient id", "study id", "study uid", "family name", "given name", "birth date", "tag"}),
        True,
        "what objects for the archive need, once files are gone",
    ),
    Allowed(
        r"scores/parquet/\.fhir/[0-9a-f]{64}\.json",
        "",
        frozenset({"study uid"}),
        True,
        "UIDs for resources, once files are gone",
    ),
    Allowed(
        r"scores/parquet/worklist\.html",
        "",
        frozenset({"patient id", "study id"}),
        False,
        "a list, as the results are",
    ),
    Allowed(
        r"deidentified/dicom(/\w{12}){4}\.dcm",
        "",
        frozenset({"tag"}),
        False,
        "the model of the scanner, which a model may be made for; all else there has a test of its own",
    ),
    Allowed(
        r"runs/\w+/run\.yaml", "", frozenset({"folder", "family name"}), True, "the run file itself; names the cohort's folder"
    ),
)


class Panic(BaseException):
    """What a decoder written in Rust may end with."""


class Chain:
    """All jobs, one after the other, in folders that are searched afterwards.

    Args:
        folder: Holds everything.
    """

    def __init__(self, folder: Path) -> None:
        self.out = folder / "out"
        self.out.mkdir()
        self.spoken = self.out / "said"
        self.spoken.mkdir()
        make_cohort(
            folder / "cohort",
            SyntheticSettings(
                patients=PATIENTS, images=("radiograph",), radiograph_size=48, absent={"laboratory": 0.1, "note": 0.1}
            ),
        )
        self.cohort = plant(folder / "cohort")
        self.status: dict[str, int] = {}
        self.run_file = folder / "run.yaml"
        content = run_file(self.out, self.cohort, epochs=2, patience=2)
        content["cohort"]["subgroups"] = ["sex", "ward"]  # type: ignore[index]
        content["inputs"]["history"]["encoder"] = "bag_of_words"  # type: ignore[index]
        content["inputs"]["person"] = {  # type: ignore[index]
            "kind": "tabular",
            "table": "studies.csv",
            "numeric": {"age": {"unit": "a"}},
            "categorical": ["sex", "ward"],
        }
        content["rules"] = [{"name": "high", "when": "labs.crp > 100 mg/L", "then": {"flag": "high"}}]
        self.run_file.write_text(yaml.safe_dump(content))
        self.model = "models:/small@champion"

    def __call__(self, *words: str, name: str = "", environment: dict[str, str] | None = None) -> int:
        """Run a job of the command in this process, and keep what it says with every line that anybody logs."""
        said = self.spoken / f"{len(self.status):02d}-{name or words[0]}.txt"
        with speaking(said), pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["medmm", *words])
            try:
                cli.main()
                status = 0
            except SystemExit as end:
                status = int(end.code or 0)
        self.status[f"{len(self.status):02d}-{name or words[0]}"] = status
        return status

    def crash(self, error: BaseException, *words: str) -> None:
        """Run a job in which a package that we use breaks, and puts what it read into its error, a warning and its log."""

        def breaks(*_: object, **__: object) -> None:
            logging.getLogger("pandas").error("%s", error, exc_info=error)
            warnings.warn(str(error), stacklevel=1)
            thread = threading.Thread(target=self._raise, args=(error,))
            thread.start()
            thread.join()
            raise error

        with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
            warnings.simplefilter("always")
            patch.setattr("medmm.workflows.cohort.read_studies", breaks)
            self(*words, name=f"crash-{type(error).__name__}")

    @staticmethod
    def _raise(error: BaseException) -> None:
        raise error


@contextmanager
def speaking(said: Path) -> Iterator[None]:
    """Let both streams of this process and of its children, and its log, go to a file."""
    kept = os.dup(1), os.dup(2)
    with said.open("wb", buffering=0) as file, io.TextIOWrapper(file, "utf-8", "backslashreplace", write_through=True) as text:
        handler = logging.StreamHandler(text)
        logging.getLogger().addHandler(handler)
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        try:
            with redirect_stdout(text), redirect_stderr(text):
                yield
        finally:
            logging.getLogger().removeHandler(handler)
            for own, number in zip(kept, (1, 2), strict=True):
                os.dup2(own, number)
                os.close(own)


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("canary")
        for name in ("cache", "temporary", "here"):
            (folder / "out" / name).mkdir(parents=True)
        shutil.rmtree(folder / "out")
        chain = Chain(folder)
        for name in ("cache", "temporary", "here"):
            (chain.out / name).mkdir()
        patch.setenv("XDG_CACHE_HOME", str(chain.out / "cache"))
        patch.setenv("TMPDIR", str(chain.out / "temporary"))
        patch.setenv("COLUMNS", "400")
        patch.setattr(tempfile, "tempdir", str(chain.out / "temporary"))
        patch.chdir(chain.out / "here")
        whole_chain(chain)
        yield chain


def whole_chain(do: Chain) -> None:
    """Do every job once, those that write in several ways in each of them."""
    run, cohort, out = str(do.run_file), str(do.cohort), do.out
    package, store = str(out / "package"), ("--tracking", str(out / "mlflow.db"))
    pages = out / "pages"
    pages.mkdir()
    do("inspect", run, "--pixels", "--json", str(pages / "run.json"), "--html", str(pages / "run.html"))
    do("inspect", cohort, "--json", str(pages / "folder.json"), "--thumbnails", str(pages / "folder.html"))
    do("pretrain", run, "pretraining.epochs=1", "pretraining.patience=1", "pretraining.method=both")
    do("train", run)
    do("rules", "check", run, "--count")
    do("evaluate", do.model, run, "--html", str(pages / "evaluation.html"))
    do(
        "compare",
        run,
        "compare.folds=2",
        "compare.methods=[late]",
        "training.epochs=1",
        "training.patience=1",
        "--html",
        str(pages / "compare.html"),
    )
    protocol = do.run_file.with_name("protocol.yaml")
    protocol.write_text("criteria:\n  - {name: tells, metric: auroc, kind: at_least, value: 0.5}\n")
    do("compare-runs", do.model, do.model, run, "--protocol", str(protocol), "--html", str(pages / "runs.html"))
    do("audit", str(out / "runs" / "small"), run, "evaluation.robustness_studies=10")
    do("package", do.model, "--out", package, *store)
    do("verify", package)
    do(
        "score",
        package,
        cohort,
        "--out",
        str(out / "scores" / "parquet"),
        *(word for name in REPORTS for word in ("--also", name)),
    )
    do("score", package, cohort, "--out", str(out / "scores" / "csv"), "--format", "csv", "--workers", "0")
    do("score", package, cohort + "/dicom", "--out", str(out / "scores" / "images"), "--accept-rejects")
    do("export", package, "--out", str(out / "exported.onnx"))
    do("export", package, "--out", str(out / "exported.pt2"), "--format", "torch_export")
    do("explain", package, cohort, "--study", "2", "--study", "7", "--out", str(out / "explained"))
    do("explain", package, cohort, "--study", "7", "--show-text", "--out", str(out / "shown"))
    do("monitor", str(out / "scores" / "parquet"), "--package", package, "--labels", cohort + "/studies.csv", *store)
    do("deidentify", cohort, str(out / "deidentified"), "--key", str(out / "key"))
    watch(do, package, cohort)
    broken(do, package)


def watch(do: Chain, package: str, cohort: str) -> None:
    """Score a cohort as it lies, waiting for more, until told to end."""
    words = ("score", package, cohort, "--out", str(do.out / "scores" / "watched"), "--watch", "--settle", "0", "--poll", "0.2")
    with (do.spoken / "watch.txt").open("wb") as said:
        program = "from medmm.workflows.cli import main; main()"
        process = subprocess.Popen([sys.executable, "-c", program, *words], stdout=said, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + 120
        while not (do.out / "scores" / "watched" / "scores.parquet").exists() and time.monotonic() < deadline:
            time.sleep(0.2)
        process.terminate()
        do.status["watch"] = process.wait(60)


def broken(do: Chain, package: str) -> None:
    """Let every kind of refusal speak, and a crash."""
    good = do.cohort / "studies.csv"
    content = good.read_text()
    first, second, *rest = content.splitlines()
    nobody, out = f"{do.cohort}/{STEMS['error']}", str(do.out / "scores" / "none")
    do("score", package, nobody, "--out", out, name="no-folder")
    do("score", nobody, str(do.cohort), "--out", out, name="no-model")
    do("inspect", nobody, name="no-file")
    do("explain", package, str(do.cohort), "--study", "9999", "--out", out, name="no-row")
    do("verify", str(do.cohort), name="no-package")
    do("score", package, str(good), "--out", out, "--format", "xls", name="no-format")
    for name, text in {
        "twice": "\n".join([first, second, second, *rest]),
        "ragged": "\n".join([first, second + f",{STEMS['error']}", *rest]),
        "no-column": content.replace("study_id", STEMS["error"], 1),
        "no-time": "\n".join([first, second.replace("T", STEMS["error"]), *rest]),
        "empty": "",
        "zeros": content + "\0" * 9,
        "quote": content + f'\n"{STEMS["error"]}',
    }.items():
        good.write_text(text)
        do("inspect", str(do.run_file), name=f"{name}-inspect")
        do("score", package, str(do.cohort), "--out", out, name=f"{name}-score")
    good.write_bytes(content.encode("utf-16"))
    do("inspect", str(do.run_file), name="utf16-inspect")
    good.write_text(content)
    for error in (ValueError, KeyError, RecursionError, OSError, UnicodeError, MemoryError, Panic):
        do.crash(error(f"{nobody} of {STEMS['family name']}"), "inspect", str(do.run_file))


def searched(out: Path) -> Iterator[tuple[str, str, str]]:
    """Give path, place and kind of each canary below a folder, those in names of files too."""
    for path in sorted(out.rglob("*")):
        name = str(path.relative_to(out))
        for kind in found(name.encode()):
            yield name, "NAME", kind
        if path.is_file():
            for place, content in parts(path):
                for kind in sorted(found(content)):
                    yield name, place, kind


@pytest.mark.parametrize("name", ["bag_of_words", "transformer", "recurrent"])
def test_no_vocabulary_holds_a_word_of_one_patient(name: str) -> None:
    notes = [f"cough and rigor, {note_of(i)}" for i in range(40)]
    state = TEXT_ENCODERS.pick(name).model_validate({"name": name}).fit(notes, [str(i) for i in range(40)], 80)
    assert "cough" in str(state)
    assert not found(json_text(state).encode())


@pytest.fixture(scope="module")
def hits(chain: Chain) -> set[tuple[str, str, str]]:
    return set(searched(chain.out))


def covers(allowed: Allowed, name: str, place: str, kind: str) -> bool:
    """Tell whether a canary stands where it may; the bytes of a file hold what its columns hold."""
    return (
        re.fullmatch(allowed.files, name) is not None
        and kind in allowed.kinds
        and (place in {"", allowed.place} or place == "NAME")
        and place != "NAME"
    )


def test_no_canary_stands_in_any_byte_but_where_it_must(hits: set[tuple[str, str, str]]) -> None:
    escaped = sorted(hit for hit in hits if not any(covers(allowed, *hit) for allowed in ALLOWED))
    assert not escaped, "\n".join(f"{name} | {place} | {kind}" for name, place, kind in escaped)


@pytest.mark.parametrize("allowed", ALLOWED, ids=lambda one: one.files)
def test_what_is_allowed_is_needed_and_where_it_says_so_private(
    chain: Chain, hits: set[tuple[str, str, str]], allowed: Allowed
) -> None:
    files = {name for name, place, kind in hits if covers(allowed, name, place, kind)}
    assert files, "nothing stands there: take it off the list"
    if allowed.private:
        assert {(chain.out / name).stat().st_mode & 0o077 for name in files} == {0}


def test_of_a_clean_export_nothing_but_the_model_of_the_scanner_is_as_it_was(chain: Chain) -> None:
    files = sorted((chain.out / "deidentified").rglob("*.dcm"))
    assert len(files) > PATIENTS // 2
    for file in files:
        image = pydicom.dcmread(file)
        del image.ManufacturerModelName
        said = io.BytesIO()
        image.save_as(said)
        assert not found(said.getvalue()), file.name


def test_the_results_do_say_whose_they_are(hits: set[tuple[str, str, str]]) -> None:
    for name in ("scores/parquet/scores.parquet", "scores/csv/scores.csv", "scores/images/scores.parquet"):
        assert (name, "patient_id", "patient id") in hits


def test_every_job_of_the_command_was_done(chain: Chain) -> None:
    done = {name.partition("-")[2] for name in chain.status}
    commands = {str(one.name or one.callback.__name__) for one in cli.app.registered_commands if one.callback}
    groups = {str(one.name) for one in cli.app.registered_groups}
    assert commands | groups <= done | NOT_RUN.keys(), "a new job: put it into whole_chain"
    ends = {name: status for name, status in chain.status.items() if name.partition("-")[2] in commands | groups}
    assert {name for name, status in ends.items() if status} <= {
        name for name in ends if any(one in name for one in ("compare-runs", "audit", "monitor"))
    }
    assert chain.status["watch"] == 0


def test_every_refusal_and_every_crash_is_one_line(chain: Chain) -> None:
    for name, status in chain.status.items():
        if "crash-" in name:
            said = (chain.spoken / f"{name}.txt").read_text()
            assert status in {1, 70}, name
            assert "Traceback" not in said
        elif any(
            one in name for one in ("no-folder", "no-model", "no-file", "no-row", "no-package", "ragged", "quote", "utf16")
        ):
            assert status == 1, name


def test_nothing_is_left_in_the_folder_for_temporary_files(chain: Chain) -> None:
    assert not [path for path in (chain.out / "temporary").rglob("*") if path.is_file()]
