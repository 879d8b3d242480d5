"""The worklist: sorted by risk, abstaining studies told apart, rejected ones with the repair, pictures within limits."""

import os
import re
import time
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from conftest import Hospital
from hostile import Seen
from test_report_page import luminance

from medmm.cohort.target import TargetSettings
from medmm.errors import MedmmError
from medmm.package import Package, load_package
from medmm.preview import thumbnails as drawing
from medmm.preview.thumbnails import Wanted, thumbnails
from medmm.preview.worklist_style import STYLE
from medmm.scoring.run import Scorer, score
from medmm.scoring.sinks import worklist
from medmm.scoring.sinks.worklist import NAME, Worklist
from medmm.scoring.studies import find_studies
from medmm.scoring.worklist import entry_of, how_to_read, refused_of, risk_of, share

MORE = {"article", "svg", "rect", "b", "bdi", "strong", "figcaption", "caption", "code"}


def row(number: int, probability: float, **cells: Any) -> dict[str, Any]:
    """Give a row of `scores` of the fixture's model."""
    plain = {
        "patient_id": f"P{number}",
        "study_id": f"S{number:05}",
        "probability_pneumonia": probability,
        "decision_pneumonia": probability >= 0.4,
        "inputs": ["chest", "labs"],
        "contribution_chest": 0.5,
        "contribution_ct": None,
        "contribution_history": None,
        "contribution_labs": -1.25,
        "scored_at": "2026-01-02T03:04:05Z",
        "computed_in": "fp32",
    }
    return plain | cells


def refusal(number: int) -> dict[str, Any]:
    reason = f"E_GAP: study in row {number}: found 4 mm, expected 2 mm: set tilt: resample, or export the missing slices"
    return {"patient_id": f"P{number}", "study_id": f"R{number}", "row": number, "code": "E_GAP", "reason": reason}


def page_of(package: Package, out: Path, rows: list[dict[str, Any]], rejected: list[dict[str, Any]] | None = None) -> str:
    with Worklist().open(out, package) as page:
        for one in rows:
            page.scored(one, None)
        for one in rejected or []:
            page.rejected(one, None)
    return (out / NAME).read_text(encoding="utf-8")


def ids(page: str) -> list[str]:
    return re.findall(r"\bS\d{5}\b", page)


def test_studies_stand_by_risk_and_equal_ones_as_they_came(package: Package, tmp_path: Path) -> None:
    risks = [0.2, 0.9, 0.2, 0.5, 0.9999]
    page = page_of(package, tmp_path, [row(i, risk) for i, risk in enumerate(risks)])
    assert ids(page) == ["S00004", "S00001", "S00003", "S00000", "S00002"]
    assert "> 99.9 %" in " ".join(Seen(page, MORE).texts)


def test_a_row_without_its_answer_is_not_told_as_unlikely(package: Package, tmp_path: Path) -> None:
    lacking = row(1, 0.5) | {"probability_pneumonia": None, "decision_pneumonia": None}
    page = page_of(package, tmp_path, [lacking, row(2, 0.4)])
    assert '<span class="big">–</span>' in page
    assert "&lt; 0.1 %" not in page.split("<main>")[1]
    assert ids(page)[0].endswith("2")


def test_a_study_that_abstains_keeps_its_place_and_is_told_apart(package: Package, tmp_path: Path) -> None:
    doubt = {"abstain": True, "abstain_why": "novel chest; several answers cannot be ruled out"}
    page = page_of(package, tmp_path, [row(0, 0.5), row(1, 0.8, **doubt), row(2, 0.3)])
    cards = re.findall(r'<li class="([^"]+)">.*?(S\d{5})', page)
    assert cards == [("study abstains", "S00001"), ("study said", "S00000"), ("study", "S00002")]
    texts = Seen(page, MORE).texts
    assert texts.count("No answer to rely on") == 1
    assert "novel chest; several answers cannot be ruled out" in texts
    assert texts.count("pneumonia: yes, threshold 40 %") == 1


def test_a_rejected_study_has_its_code_and_the_repair_apart_from_the_reason(package: Package, tmp_path: Path) -> None:
    page = page_of(package, tmp_path, [row(0, 0.5)], [refusal(7), refusal(9)])
    texts = Seen(page, MORE).texts
    assert texts.count("set tilt: resample, or export the missing slices") == 2
    assert "study in row 7: found 4 mm, expected 2 mm" in texts
    assert "2 by code: E_GAP: 2." in texts
    assert refused_of({"reason": "E_X: no such form", "code": "E_X"}).repair == ""


def test_a_page_of_nothing_says_so(package: Package, tmp_path: Path) -> None:
    assert "No study was scored." in Seen(page_of(package, tmp_path, []), MORE).texts


def test_the_page_is_cut_with_a_sentence_and_counts_all(
    package: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"MOST_SHOWN": 3, "MOST_LISTED": 7, "MOST_REJECTED": 2}.items():
        monkeypatch.setattr(worklist, name, value)
    rows = [row(i, i / 20, abstain=i % 2 == 0, abstain_why="x" if i % 2 == 0 else "") for i in range(20)]
    page = page_of(package, tmp_path, rows, [refusal(i) for i in range(5)])
    assert ids(page) == [f"S{i:05}" for i in range(19, 12, -1)]
    assert page.count('<li class="study') == 3
    text = " ".join(Seen(page, MORE).texts)
    # Of 0 to 12, twentieths from 8 on are 0.4 or more: five; even ones abstain: seven.
    assert "13 more studies, all of lower risk, stand in the table scores alone. Of these 5 have a finding said" in text
    assert "and 7 have no answer to rely on" in text
    assert "5 by code: E_GAP: 5. The first 2 stand here" in text
    assert page.count("<code>E_GAP</code>") == 2


def test_memory_and_the_page_stay_bounded(package: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worklist, "MOST_LISTED", 500)
    peaks = []
    for count in (1_000, 10_000):
        tracemalloc.start()
        with Worklist().open(tmp_path, package) as page:
            for i in range(count):
                page.scored(row(i, (i * 7919 % count) / count), None)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 3 * peaks[0]  # all kept would be some ten times; what else runs in the process counts too
    assert (tmp_path / NAME).stat().st_size < 1_000_000


def test_a_scoring_writes_it_with_pictures_and_no_text_of_a_header(hospital: Hospital, saved: Path, tmp_path: Path) -> None:
    loaded = load_package(saved)
    studies = find_studies(loaded, hospital.cohort.root)[:12]
    score(loaded, studies, tmp_path, also=["worklist"])
    seen = Seen((tmp_path / NAME).read_text(encoding="utf-8"), MORE)
    rows = pq.read_table(tmp_path / "scores.parquet").to_pylist()
    for one in rows:
        assert one["study_id"] in seen.texts
        assert one["patient_id"] in seen.texts
    with_images = sum(bool({"chest", "ct"} & set(one["inputs"])) for one in rows)
    assert with_images
    assert len(seen.pictures) >= with_images
    assert all(said.startswith(("chest: ", "ct: ")) for _, said in seen.pictures)
    assert not any("^" in text for text in seen.texts)  # as in Patient's Name
    with Scorer(loaded, tmp_path, also=["worklist"]) as scorer:  # rows alone, as of a server's studies
        scorer.export()
    seen = Seen((tmp_path / NAME).read_text(encoding="utf-8"), MORE)
    assert not seen.pictures
    assert sum("only its row is known" in text for text in seen.texts) == len(rows)


def images(hospital: Hospital, count: int) -> list[Wanted]:
    found = [study.evidence["chest"].files for study in hospital.studies if "chest" in study.evidence]
    return [Wanted(files) for files in found[:count]]


def test_an_image_that_cannot_be_drawn_costs_its_own_picture(hospital: Hospital, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no image")
    good = images(hospital, 2)
    cut = tmp_path / "cut.dcm"
    cut.write_bytes(good[0].files[0].read_bytes()[:-50])
    wanted = [good[0], Wanted((tmp_path / "text",)), Wanted((cut,)), Wanted((tmp_path / "gone",)), good[1]]
    assert [len(one) for one in thumbnails(wanted, seconds=60)] == [1, 0, 0, 0, 1]


def test_an_image_that_hangs_costs_its_own_picture_and_all_have_a_limit(hospital: Hospital, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.dcm")
    good = images(hospital, 2)
    hangs = Wanted((tmp_path / "pipe.dcm",))
    list(thumbnails(good[:1], seconds=60))  # processes are warm
    start = time.monotonic()
    assert [len(one) for one in thumbnails([good[0], hangs, good[1]], seconds=60, each=3)] == [1, 0, 1]
    assert [len(one) for one in thumbnails([hangs, hangs, hangs, hangs, hangs, good[0]], seconds=2)] == [0] * 6
    assert time.monotonic() - start < 30
    assert list(thumbnails(good, seconds=0)) == [(), ()]


def test_where_no_process_can_start_the_rest_have_no_picture(hospital: Hospital, monkeypatch: pytest.MonkeyPatch) -> None:
    good = images(hospital, 3)
    true = drawing.answers

    def none_left(*given: Any, **how: Any) -> Iterator[object]:
        yield next(true(*given, **how))
        raise MedmmError("a process cannot start")

    monkeypatch.setattr(drawing, "answers", none_left)
    assert [len(one) for one in thumbnails(good, seconds=60)] == [1, 0, 0]


CLASSES = ("none", "mild", "severe")


@pytest.mark.parametrize(
    ("target", "thresholds", "cells", "risk", "first"),
    [
        ({"column": "d", "positive": "p"}, (0.4,), {"probability_p": 0.7, "decision_p": True}, 0.7, ("p", "70.0 %")),
        (
            {"column": "d", "task": "multiclass", "classes": CLASSES},
            (),
            {"probability_none": 0.2, "probability_mild": 0.7, "probability_severe": 0.1, "decision_mild": True},
            0.8,
            ("mild", "70.0 %"),
        ),
        (
            {"column": "d", "task": "multilabel", "classes": CLASSES},
            (0.5, 0.2, 0.9),
            {"probability_none": 0.6, "probability_mild": 0.5, "probability_severe": 0.8, "decision_none": True}
            | {"decision_mild": True, "decision_severe": False},
            0.3,
            ("mild", "50.0 %"),
        ),
        (
            {"column": "d", "task": "ordinal", "classes": CLASSES},
            (0.5, 0.5),
            {"probability_at_least_mild": 0.8, "probability_at_least_severe": 0.3, "grade": "mild"}
            | {"decision_at_least_mild": True, "decision_at_least_severe": False},
            1.1,
            ("grade mild", "80.0 %"),
        ),
        ({"column": "ef", "task": "regression", "unit": "%"}, (), {"predicted_ef": 54.321}, 54.321, ("ef", "54.32 %")),
        (
            {"task": "survival", "time": "t", "event": "death", "unit": "days", "horizons": (30, 365)},
            (),
            {"risk_death_by_30_days": 0.1, "risk_death_by_365_days": 0.4},
            0.4,
            ("death_by_365_days", "40.0 %"),
        ),
    ],
)
def test_every_task_has_a_risk_and_a_first_answer(
    package: Package,
    target: dict[str, Any],
    thresholds: tuple[float, ...],
    cells: dict[str, Any],
    risk: float,
    first: tuple[str, str],
) -> None:
    one = replace(package, target=TargetSettings.model_validate(target), thresholds=thresholds)
    assert risk_of(cells, one) == pytest.approx(risk)
    (line, *_) = entry_of(cells, one).lines
    assert (line.name, line.value) == first
    assert how_to_read(one)[0].startswith("Sorted by")


def test_the_head_says_base_rate_and_quality_with_their_n_and_believes_no_card(package: Package) -> None:
    facts = {**package.facts, "proof": {"parts": {"test": {"studies": 21, "studies_of_class": {"pneumonia": 7}}}}}
    said = " ".join(how_to_read(replace(package, facts=facts)))
    assert "Of the 21 studies that it was tested on, 7 (33.3 %) had pneumonia" in said
    assert "in 80.0 % of pairs (95 % interval 70.0 % to 90.0 %; 21 test studies of 17 patients)" in said
    for odd in (None, [], {"proof": 1, "results": "x"}, {"results": [1, {"metric": "auroc", "class": [], "value": "x"}]}):
        assert len(how_to_read(replace(package, facts=odd))) >= 4


@pytest.mark.parametrize(("value", "text"), [(0.5, "50.0 %"), (0.0004, "< 0.1 %"), (1.0, "> 99.9 %"), (0.0, "< 0.1 %")])
def test_no_share_is_told_to_be_certain(value: float, text: str) -> None:
    assert share(value) == text


@pytest.mark.parametrize("place", [0, 1, 2], ids=["light", "dark", "paper"])
def test_every_text_has_a_contrast_of_at_least_4_5(place: int) -> None:
    colours = dict(re.findall(r"--([\w-]+): (#\w+)", re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)[place]))
    pairs = [(text, ground) for text in ("text", "soft", "link", "warn") for ground in ("page", "card")]
    pairs += [(tone, f"{tone}-bg") for tone in ("high", "low", "warn")]
    for text, ground in pairs:
        light, dark = sorted((luminance(colours[text]), luminance(colours[ground])), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, (text, ground)
