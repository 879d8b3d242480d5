"""The report, the model card and the filled guidelines of one small run whose names are hostile, and two runs compared."""

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import mlflow
import numpy as np
import pandas as pd
import pytest
from hostile import HOSTILE, Seen
from matplotlib.figure import Figure
from rich.console import Console
from test_tasks import make_hospital, run_file
from typer.testing import CliRunner

from medmm.config import RunConfig, parse_config
from medmm.errors import DataError
from medmm.evaluation.chapter import Chapter
from medmm.evaluation.checklists import CHECKLISTS, Checklist
from medmm.evaluation.evaluate import evaluate
from medmm.evaluation.intervals import Estimate
from medmm.package import load_package, save_package
from medmm.preview.report_page import Sheet
from medmm.types import Scores
from medmm.workflows.checklists import ANSWERS, OPEN, checklist_markdown, fill
from medmm.workflows.cli import app
from medmm.workflows.compare_runs import compare_runs, same_studies
from medmm.workflows.evaluate import Evaluated, evaluate_model
from medmm.workflows.evidence import Evidence, finding, gather, limits, verdicts
from medmm.workflows.evidence_page import chapter_part, evidence_page, sheet_of
from medmm.workflows.model_card import model_card, model_card_text
from medmm.workflows.screen import Screen
from medmm.workflows.subject import open_subject
from medmm.workflows.train import train

SCREEN = Screen(Console(quiet=True))
ILL = "<script>alert('ill')</script>"
GROUP = "<img src=x onerror=alert(1)>"
LEVELS = ("</td><script>alert(1)</script>", r"$\frac{1}{0", "&lt;b&gt;")
COLUMN = "<b>crp</b>"


@dataclass(frozen=True)
class Run:
    config: RunConfig
    package: Path
    evaluated: Evaluated
    evidence: Evidence
    export: Path


def a_chapter(name: str = "calibration", says: str = "The slope is 0.9 [0.7, 1.1] (54 studies of 50 patients).") -> Chapter:
    figure = Figure()
    figure.add_subplot().set_title(HOSTILE[0])
    table = pd.DataFrame(
        {"group": ["a", HOSTILE[1]], "gap": [0.12345, np.nan], "gap_low": [0.1, np.nan], "gap_high": [0.2, np.nan]}
    )
    slope = Estimate(0.9, 0.7, 1.1, 54, 50, 100)
    return Chapter(name, "Calibration", (says, HOSTILE[2]), {"slope": slope}, {"groups": table}, {"curve": figure})


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("evidence")
    export = folder / "export"
    make_hospital(export)
    studies = pd.read_csv(export / "studies.csv", dtype=str, keep_default_na=False)
    studies["sign"] = studies["sign"].map({"yes": ILL, "no": "no", "": ""})
    studies[GROUP] = [LEVELS[i % 3] for i in range(len(studies))]
    studies.to_csv(export / "studies.csv", index=False)
    cells = pd.read_csv(export / "first.csv", dtype=str).rename(columns={"noise": COLUMN})
    cells.to_csv(export / "first.csv", index=False)
    content = run_file(folder, export, "binary", name="hostile")
    content["cohort"] = {"root": str(export), "subgroups": [GROUP, "sex"]}
    content["target"] = {"task": "binary", "column": "sign", "positive": ILL}
    content["inputs"]["first"]["numeric"] = {"number": {}, COLUMN: {}}  # type: ignore[index]
    content["evaluation"] = {"resamples": 100, "single_inputs": False}
    config = parse_config(content, "run.yaml")
    trained = train(config, SCREEN)
    subject = open_subject(str(trained.package), config, SCREEN)
    evaluation = evaluate(subject.test.scores, "binary", subject.package.thresholds, 100)
    empty = Chapter("robustness", "Robustness", ("not enough data: 7 studies, 20 are needed.",))
    evidence = gather(subject, evaluation, [a_chapter(), empty], "2026-01-31")
    return Run(config, trained.package, evaluate_model(str(trained.package), config, SCREEN), evidence, export)


@pytest.fixture(scope="module")
def page(run: Run) -> str:
    return evidence_page(run.evidence)


def test_hostile_names_stay_text_in_the_report(run: Run, page: str) -> None:
    for one in (run.evaluated.report, page):
        text = " ".join(Seen(one).texts)
        assert ILL in text
        assert all(level in text for level in LEVELS)
        assert f"first.{COLUMN}" in text


def test_no_identifier_and_no_path_stands_in_the_report_or_the_card(run: Run, page: str) -> None:
    card = json.dumps(model_card(run.evidence)) + model_card_text(run.evidence, "report.html")
    for text in (page, card):
        assert not re.search(r"PAT\d{3}|STU\d{3}", text)
        assert str(run.export) not in text
        assert str(run.package.parent) not in text


def test_the_report_has_its_parts_in_order_and_every_link_leads_somewhere(page: str) -> None:
    seen = Seen(page)
    assert seen.anchors == [
        "brief",
        "flow",
        "table-1",
        "results",
        "chapter-calibration",
        "chapter-robustness",
        "limits",
        "checklists",
        "made",
    ]
    assert set(seen.links) <= set(seen.anchors)
    figures = [said.partition(".")[0] for _, said in seen.pictures]
    assert figures == ["Flow of patients and studies", "Roc", "Pr", "Confusion", "Curve"]  # the chapter shows calibration
    assert all(said for _, said in seen.pictures)


def test_the_box_on_top_tells_the_headline_with_interval_and_n(run: Run, page: str) -> None:
    text = " ".join(Seen(page).texts)
    found = run.evidence.evaluation.headline
    assert f"{found.value:.3f} 95 % interval [{found.low:.3f}, {found.high:.3f}]" in text
    assert f"n = {found.studies} studies of {found.patients} patients" in text


def test_verdicts_are_words_that_follow_from_the_numbers(run: Run) -> None:
    words = {one.word: one for one in verdicts(run.evidence)}
    assert {"better than chance", "internal test", "no leak found"} <= set(words)
    results = tuple(
        replace(one, estimate=replace(one.estimate, value=0.52, low=0.40, high=0.64)) for one in run.evidence.evaluation.results
    )
    poor = replace(run.evidence, evaluation=replace(run.evidence.evaluation, results=results))
    assert {"not shown", "imprecise"} <= {one.word for one in verdicts(poor)}
    nan = replace(results[0].estimate, value=np.nan, low=np.nan, high=np.nan)
    none = replace(poor, evaluation=replace(poor.evaluation, results=tuple(replace(one, estimate=nan) for one in results)))
    assert "not judged" in {one.word for one in verdicts(none)}
    assert "not judged" in evidence_page(none)


@pytest.mark.parametrize(
    ("verdicts_of_checks", "word", "tone"),
    [
        (["pass", "not applicable", "waived"], "no check fails", "good"),
        (["pass", "not enough data", "pass"], "no check fails", "open"),
        (["pass", "fail"], "a check fails", "bad"),
        (["fail", "pass", "fail"], "2 checks fail", "bad"),
    ],
)
def test_an_audit_stands_in_the_box(run: Run, verdicts_of_checks: list[str], word: str, tone: str) -> None:
    assert not [one for one in verdicts(run.evidence) if one.anchor == "audit"]
    checks = pd.DataFrame({"check": range(len(verdicts_of_checks)), "verdict": verdicts_of_checks})
    chapter = Chapter("audit", "Audit", ("3 checks: as they are", "how"), {}, {"checks": checks})
    found = verdicts(replace(run.evidence, chapters=(*run.evidence.chapters, chapter)))[-1]
    assert (found.word, found.tone, found.said, found.anchor) == (word, tone, "3 checks: as they are.", "audit")


def with_facts(evidence: Evidence, **changes: object) -> Evidence:
    package = evidence.subject.package
    return replace(evidence, subject=replace(evidence.subject, package=replace(package, facts={**package.facts, **changes})))


def test_what_was_let_pass_or_could_not_be_judged_stands_among_the_limits(run: Run) -> None:
    proof = {**run.evidence.subject.package.facts["proof"], "waived": {"first.number": HOSTILE[0]}}
    waived = with_facts(run.evidence, proof=proof)
    assert "leak waived" in {one.word for one in verdicts(waived)}
    said = limits(waived)
    assert any(HOSTILE[0] in one for one in said)
    assert any(one.startswith("Robustness: not enough data: 7 studies") for one in said)
    assert any("No other hospital" in one for one in said)
    out = len(run.evidence.subject.left_out)
    assert out >= 4  # without a label
    assert any(f"{out} of 180 studies could not be used" in one for one in said)
    assert "not checked" in {one.word for one in verdicts(with_facts(run.evidence, proof={}))}


def test_a_model_on_another_cohort_is_not_called_internal(run: Run) -> None:
    other = replace(run.evidence, subject=replace(run.evidence.subject, own=False, learned_from=12))
    assert "another cohort" in {one.word for one in verdicts(other)}
    assert not any("No other hospital" in one for one in limits(other))
    gathered = gather(other.subject, other.evaluation, [], "2026-01-31")
    reasons = {one.name: one.studies for step in gathered.flow.steps for one in step.left}
    assert "patient the model learned from" not in reasons  # all have a part here
    without = replace(other.subject, parts={"test": other.subject.test})
    reasons = {one.name: one.studies for step in gather(without, other.evaluation, [], "").flow.steps for one in step.left}
    learners = sum(len(said.rows) for part, said in other.subject.parts.items() if part != "test")
    assert reasons["patient the model learned from"] == learners
    assert {one.number: one.state for one in fill(CHECKLISTS[1], other)}["33"] == "answered"
    assert {one.number: one.state for one in fill(CHECKLISTS[1], run.evidence)}["33"] == "open"


def test_every_answer_of_a_guideline_is_known_and_each_is_used() -> None:
    asked = {item.answer for one in CHECKLISTS for item in one.items if item.answer}
    assert asked == set(ANSWERS)


def test_the_guidelines_have_their_numbers() -> None:
    tripod, claim, stard = (list(dict.fromkeys(item.number for item in one.items)) for one in CHECKLISTS)
    assert len(tripod) == 52
    assert {int(re.match(r"\d+", one)[0]) for one in tripod} == set(range(1, 28))  # type: ignore[index]
    assert claim == [str(number) for number in range(1, 45)]
    assert {int(re.match(r"\d+", one)[0]) for one in stard} == set(range(1, 31))  # type: ignore[index]


@pytest.mark.parametrize("checklist", CHECKLISTS, ids=lambda one: one.name)
def test_what_the_run_answers_has_a_link_that_leads_somewhere_and_the_rest_is_open(
    checklist: Checklist, run: Run, page: str
) -> None:
    anchors = set(Seen(page).anchors)
    filled = fill(checklist, run.evidence)
    assert {one.state for one in filled} == {"answered", "partly", "open"}
    for one in filled:
        if one.state == "open":
            assert (one.text, one.anchor) == (OPEN, "")
        else:
            assert one.anchor in anchors
            assert ("Open: " in one.text) == (one.state == "partly")


def test_a_chapter_without_a_number_answers_nothing(run: Run) -> None:
    claim = {one.number: one for one in fill(CHECKLISTS[1], run.evidence)}
    assert claim["30"].state == "open"  # robustness: not enough data
    tripod = {one.number: one for one in fill(CHECKLISTS[0], run.evidence)}
    assert tripod["24"].text == "The slope is 0.9 [0.7, 1.1] (54 studies of 50 patients)."
    assert tripod["24"].anchor == "chapter-calibration"


def test_markdown_holds_no_hostile_markup(run: Run) -> None:
    for text in (*(checklist_markdown(one, run.evidence, "report.html") for one in CHECKLISTS),):
        assert "<script" not in text
        rows = [line for line in text.splitlines() if line.startswith("|")]
        assert {len(re.findall(r"(?<!\\)\|", line)) for line in rows} == {6}


def test_the_card_has_the_nine_sections_and_tells_the_numbers(run: Run) -> None:
    card = model_card(run.evidence)
    assert list(card) == [
        "model_details",
        "intended_use",
        "factors",
        "metrics",
        "evaluation_data",
        "training_data",
        "quantitative_analyses",
        "ethical_considerations",
        "caveats_and_recommendations",
    ]
    json.dumps(card, allow_nan=False)
    found = run.evidence.evaluation.headline
    results = card["quantitative_analyses"]["results"]
    assert {"metric": "auroc", "value": found.value, "patients": found.patients}.items() <= results[0].items()
    assert card["quantitative_analyses"]["chapters"]["calibration"]["measures"]["slope"]["low"] == 0.7
    assert card["evaluation_data"]["patients"] == found.patients
    text = model_card_text(run.evidence, "report.html")
    assert text.startswith("# hostile\n")
    assert "](report.html#chapter-calibration)" in text


def test_a_table_puts_a_number_and_its_limits_into_one_cell() -> None:
    table = pd.DataFrame(
        {
            "name": ["a", "b"],
            "value": [0.5, np.nan],
            "low": [0.25, np.nan],
            "high": [0.75, np.nan],
            "gap": [0.1, 0.2],
            "gap_low": [0.05, 0.1],
            "gap_high": [0.15, 0.3],
            "delong_low": [0.3, np.nan],
            "delong_high": [0.4, np.nan],
            "low_dose": [1, 2],
            "is_high": [True, False],
        }
    )
    assert sheet_of("t", table) == Sheet(
        "t",
        ["name", "value", "gap", "delong", "low dose", "is high"],
        [
            ("a", "0.500 [0.250, 0.750]", "0.100 [0.050, 0.150]", "[0.300, 0.400]", 1, True),
            ("b", "–", "0.200 [0.100, 0.300]", None, 2, False),
        ],
    )


@pytest.mark.parametrize(
    ("says", "found"),
    [
        (("Thresholds were fixed. They stay.", "Slope 0.9 [0.7, 1.1] (n = 5). More."), "Slope 0.9 [0.7, 1.1] (n = 5)."),
        (("Slope 0.9 (95% interval 0.7 to 1.1).", "Other [1, 2]."), "Slope 0.9 (95% interval 0.7 to 1.1)."),
        (("not enough data: 3 studies.", "Nothing."), "not enough data: 3 studies."),
        ((), ""),
    ],
)
def test_what_a_chapter_found_is_its_first_sentence_with_an_interval(says: tuple[str, ...], found: str) -> None:
    assert finding(Chapter("x", "X", says)) == found


def test_a_table_that_stands_on_the_page_already_is_not_shown_twice() -> None:
    table = pd.DataFrame({"a": [1, 2]})
    chapter = Chapter("x", "X", ("found",), {}, {"results": table, "others": table * 2})
    assert [one.title for one in chapter_part(chapter, table.copy()).sheets] == ["Others"]


@pytest.mark.parametrize(
    ("slope", "level", "word"),
    [
        ((0.7, 1.1), (-0.2, 0.3), "no miscalibration seen"),
        ((0.5, 0.9), (-0.2, 0.3), "miscalibrated"),
        ((0.7, 1.1), (0.1, 0.3), "miscalibrated"),
    ],
)
def test_probabilities_are_called_off_where_an_interval_leaves_out_what_is_perfect(
    run: Run, slope: tuple[float, float], level: tuple[float, float], word: str
) -> None:
    measures = {name: Estimate(sum(pair) / 2, *pair, 54, 50, 100) for name, pair in (("slope", slope), ("in_the_large", level))}
    found = replace(run.evidence, chapters=(replace(a_chapter(), measures=measures),))
    assert [one.word for one in verdicts(found) if "calib" in one.word] == [word]


def test_a_table_without_rows_or_columns_breaks_no_page() -> None:
    assert sheet_of("t", pd.DataFrame()).rows == []
    assert sheet_of("t", pd.DataFrame({"a": [], "low": [], "high": []})).rows == []
    part = chapter_part(Chapter("x/../y z", "title", (), {}, {"t": pd.DataFrame()}))
    assert part.anchor == "chapter-x----y-z"


def test_everything_is_kept_in_mlflow(run: Run) -> None:
    client = mlflow.MlflowClient(run.config.tracking.uri)
    run_id = run.evaluated.run_page.split("/runs/")[1].split("?")[0]
    kept = {one.path for one in client.list_artifacts(run_id)} | {
        one.path for one in client.list_artifacts(run_id, "checklists")
    }
    assert {"report.html", "model_card.json", "model_card.md", "flow.csv", "table1.csv"} <= kept
    assert {f"checklists/{one.name}.{ending}" for one in CHECKLISTS for ending in ("csv", "md")} <= kept


# two runs compared

MET = "criteria:\n  - {name: no_step_back, metric: auroc, kind: no_worse_by, value: 0.0}\n"
MISSED = MET + "  - {name: better, metric: auroc, kind: better_by, value: 0.0}\n"


def test_a_model_passes_against_itself_and_the_record_holds_the_digest_of_the_protocol(run: Run, tmp_path: Path) -> None:
    protocol = tmp_path / "protocol.yaml"
    protocol.write_text(MET)
    compared = compare_runs(str(run.package), str(run.package), run.config, protocol, SCREEN)
    assert compared.accepted
    assert compared.studies == run.evaluated.evaluation.headline.studies
    client = mlflow.MlflowClient(run.config.tracking.uri)
    record = client.get_run(compared.run_page.split("/runs/")[1].split("?")[0])
    assert len(record.data.tags["protocol_digest"]) == 64
    assert record.data.tags["verdict"] == "accepted"
    assert record.data.metrics["no_step_back/gain_low"] == 0
    assert record.data.metrics["accepted"] == 1
    assert record.data.tags["protocol_digest"] in compared.page
    Seen(compared.page)


def config_file(run: Run, folder: Path, **changes: object) -> Path:
    content = {**run.config.model_dump(mode="json", exclude_unset=True), **changes}
    path = folder / "run.yaml"
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize(("text", "status"), [(MET, 0), (MISSED, 1), ("criteria: []", 2)])
def test_a_pipeline_can_go_by_the_exit_status(run: Run, tmp_path: Path, text: str, status: int) -> None:
    protocol, page = tmp_path / "protocol.yaml", tmp_path / "page.html"
    protocol.write_text(text)
    words = ["compare-runs", str(run.package), str(run.package), str(config_file(run, tmp_path))]
    answer = CliRunner().invoke(app, [*words, "--protocol", str(protocol), "--html", str(page)])
    assert answer.exit_code == status, answer.output
    assert page.exists() == (status != 2)


def test_a_model_of_another_split_of_tables_alone_is_refused(run: Run, tmp_path: Path) -> None:
    protocol = tmp_path / "protocol.yaml"
    protocol.write_text(MET)
    other = run.config.model_copy(update={"split": run.config.split.model_copy(update={"seed": 1})})
    with pytest.raises(DataError, match="trained on this export by another split"):
        compare_runs(str(run.package), str(run.package), other, protocol, SCREEN)


def test_another_model_is_told_apart(run: Run, tmp_path: Path) -> None:
    package = load_package(run.package)
    package.model.head.weight.data.neg_()  # says the opposite
    save_package(package, tmp_path / "worse")
    protocol = tmp_path / "protocol.yaml"
    protocol.write_text(MET)
    compared = compare_runs(str(run.package), str(tmp_path / "worse"), run.config, protocol, SCREEN)
    assert not compared.accepted
    assert compared.judged[0].gain.high < 0


def said_of(rows: list[int]) -> SimpleNamespace:
    values = np.array(rows, float)[:, None]
    scores = Scores(("ill",), values / 10, values % 2, np.array(rows), {"site": np.array(list(map(str, rows)))})
    return SimpleNamespace(test=SimpleNamespace(rows=np.array(rows), scores=scores))


def test_only_studies_count_that_neither_model_learned_from_and_each_meets_itself() -> None:
    champion, challenger = same_studies(said_of([1, 2, 5, 7]), said_of([7, 5, 3]))  # type: ignore[arg-type]
    for one in (champion, challenger):
        assert one.patient.tolist() == [5, 7]
        assert one.predicted[:, 0].tolist() == [0.5, 0.7]
        assert one.groups["site"].tolist() == ["5", "7"]
    with pytest.raises(DataError, match="neither of the two"):
        same_studies(said_of([1]), said_of([2]))  # type: ignore[arg-type]
