"""Each of the 25 checks finds its planted fault and passes a clean case; an audit of clean cohorts hardly ever fails."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import norm
from typer.testing import CliRunner

from medmm.cohort.leakage import Finding as Leak
from medmm.errors import ConfigError
from medmm.evaluation.chapter import Chapter
from medmm.evaluation.decision import choose_thresholds
from medmm.evaluation.intervals import Estimate
from medmm.workflows.audit import CHECKS, check_all
from medmm.workflows.audit.audited import Audited, recorded
from medmm.workflows.audit.finding import CHECKED, FAMILY, Finding, beyond, judge, less, share, widened
from medmm.workflows.audit.run import AuditReport, audit_chapter, plain, waivers
from medmm.workflows.audit.shortcut import blanked
from medmm.workflows.audit.simple import simple_answers
from medmm.workflows.cli import app
from tests.simulated import INPUTS, Cohort, chapter, estimate, false_alarms, make, settings, sound_leaks

WHOLE = frozenset(INPUTS)

SOUND: dict[str, dict[str, Estimate]] = {
    "calibration": {
        "slope": estimate(0.98, 0.2),
        "in_the_large": estimate(0.05, 0.2),
        "ece": estimate(0.04),
        "ece_null": estimate(0.04),
        "ece_chance": estimate(0.4),
    },
    "decision_curve": {"gain_at_0.1": estimate(0.0, 0.01), "gain_at_0.5": estimate(0.08, 0.04)},
    "subgroups": {"sex_f": estimate(0.8), "sex_f_gap": estimate(0.01, 0.08), "site_north_gap": estimate(-0.03, 0.08)},
    "importance": {"exchanged_chest": estimate(0.1), "exchanged_labs": estimate(0.1)},
    "novelty": {"outliers/noise": estimate(0.9), "false_alarms": estimate(0.05), "false_alarms/chest": estimate(0.05)},
    "conformal": {"coverage": estimate(0.91), "level": estimate(0.9, 0.05)},
    "robustness": {"chest_noise": estimate(0.3), "chest_noise_refused": estimate(0.0), "mild_chest": estimate(0.02)},
}
"""Chapters of a sound model."""


def chapters(**changes: dict[str, Estimate]) -> dict[str, Chapter]:
    found: dict[str, Chapter] = {}
    for name, measures in SOUND.items():
        found |= chapter(name, {**measures, **changes.get(name, {})})
    return found


def leaks(check: str, name: str, **more: Any) -> tuple[Leak, ...]:
    """The same, with one leak."""
    planted = Leak(check, name, "planted", True, **more)  # type: ignore[arg-type]
    return (*(one for one in sound_leaks() if one.name != name), planted)


@pytest.fixture(scope="module")
def clean() -> Audited:
    return make(0).audited(chapters=chapters(), leaks=sound_leaks())


def found(check: str, audited: Audited) -> Finding:
    return CHECKS[check](audited)


@pytest.mark.parametrize("check", CHECKS)
def test_a_sound_model_passes(check: str, clean: Audited) -> None:
    one = found(check, clean)
    assert one.verdict == "pass", one.evidence
    assert one.evidence
    if one.number is not None:
        assert one.measure
        assert one.number.low <= one.number.value <= one.number.high


def test_there_are_25_checks_and_no_other() -> None:
    assert len(CHECKS) == CHECKED == 25
    assert set(PLANTED) == set(CHECKS)


# Faults, each planted into the numbers of a sound cohort.


def with_a_patient_on_both_sides(cohort: Cohort) -> Audited:
    test, train = cohort.rows("test"), cohort.rows("train")
    cohort.patient = np.where(cohort.patient == cohort.patient[test[0]], cohort.patient[train[0]], cohort.patient)
    return cohort.audited()


def with_a_near_image(cohort: Cohort) -> Audited:
    pair = (int(cohort.rows("train")[0]), int(cohort.rows("test")[0]))
    return cohort.audited(leaks=leaks("two sides", "chest.images", pairs=(pair,)))


def with_a_test_study_before_training(cohort: Cohort) -> Audited:
    cohort.config = settings(split={"by": "time"})
    return cohort.audited()


def with_a_marked_corner(cohort: Cohort) -> Audited:
    cohort.image[:, 0, 0:2, 0:2] += 4.0 * (cohort.label - 0.5)[:, None, None]
    return cohort.audited()


def with_a_site_for_a_diagnosis(cohort: Cohort) -> Audited:
    """The ill go to one site, and the model reads the site from the image."""
    rng = np.random.default_rng(1)
    ill = np.array([cohort.label[cohort.patient == one].mean() > 0.5 for one in range(cohort.patient.max() + 1)])
    at_north = np.where(rng.random(len(ill)) < 0.95, ill, ~ill)[cohort.patient]
    cohort.site = np.where(at_north, "north", "south")
    cohort.joint = np.column_stack([cohort.joint, 3.0 * at_north])
    cohort.answers = {WHOLE: expit(0.2 * cohort.logit() + 2.0 * (at_north - 0.5))[:, None]}
    return cohort.audited()


def with_age_alone(cohort: Cohort) -> Audited:
    """Age decides, and the model knows little more than age."""
    rng = np.random.default_rng(1)
    cohort.label = (rng.random(len(cohort.age)) < expit((cohort.age - 60) / 3)).astype(int)
    cohort.answers = {WHOLE: expit((cohort.age - 60) / 3 + rng.standard_normal(len(cohort.age)))[:, None]}
    return cohort.audited()


def with_remembered_patients(cohort: Cohort) -> Audited:
    """Each test patient has a study in training too, and the embedding tells persons."""
    rng = np.random.default_rng(1)
    cohort.part = rng.choice(["train", "validation", "test"], p=[0.6, 0.2, 0.2], size=len(cohort.patient))
    cohort.joint = np.column_stack([rng.standard_normal((cohort.patient.max() + 1, 6))[cohort.patient], cohort.joint * 0.1])
    return cohort.audited()


def with_intervals_by_study(cohort: Cohort) -> Audited:
    """All studies of a patient are alike, and the record counts each as one of its own."""
    subject = cohort.audited().subject
    facts = dict(subject.package.facts)
    facts["results"] = [
        {
            **row,
            "low": row["value"] - 0.3 * (row["value"] - row["low"]),
            "high": row["value"] + 0.3 * (row["high"] - row["value"]),
        }
        if row["low"] is not None
        else row
        for row in facts["results"]
    ]
    cohort.facts = {"results": facts["results"]}
    return cohort.audited()


def with_one_input_that_is_enough(cohort: Cohort) -> Audited:
    whole = cohort.predicted(WHOLE)
    rng = np.random.default_rng(1)
    cohort.answers = {frozenset(["chest"]): whole, WHOLE: expit(cohort.logit() + 2 * rng.standard_normal(len(whole)))[:, None]}
    return cohort.audited()


def with_thresholds_from_test(cohort: Cohort) -> Audited:
    test = cohort.scores(cohort.rows("test"))
    cohort.package = {"thresholds": choose_thresholds(test, "binary", cohort.config.evaluation.decision)}
    return cohort.audited()


def with_a_threshold_that_does_not_travel(cohort: Cohort) -> Audited:
    """Another device: all answers to test studies are lower."""
    test = cohort.part == "test"
    cohort.answers = {WHOLE: expit(cohort.logit() - 3.0 * test)[:, None]}
    return cohort.audited()


def with_a_model_lost_without_its_inputs(cohort: Cohort) -> Audited:
    cohort.answers = {frozenset(["labs"]): expit(-cohort.told["labs"] * 2)[:, None]}
    return cohort.audited()


def with_an_input_that_is_ignored(cohort: Cohort) -> Audited:
    cohort.told["labs"] = 0.001 * cohort.told["labs"]
    return cohort.audited()


def with_a_model_that_knows_its_patients(cohort: Cohort) -> Audited:
    train = cohort.part == "train"
    cohort.answers = {WHOLE: expit(cohort.logit() + 6.0 * train * (cohort.label - 0.5))[:, None]}
    return cohort.audited()


def with_chapter(**changes: dict[str, Estimate]) -> Callable[[Cohort], Audited]:
    return lambda cohort: cohort.audited(chapters=chapters(**changes))


PLANTED: dict[str, Callable[[Cohort], Audited]] = {
    "overlap": with_a_patient_on_both_sides,
    "near_duplicates": with_a_near_image,
    "time_order": with_a_test_study_before_training,
    "label_in_text": lambda cohort: cohort.audited(leaks=leaks("one word", "history.pneumonia")),
    "label_in_table": lambda cohort: cohort.audited(leaks=leaks("column", "labs.antibiotic")),
    "label_in_missingness": lambda cohort: cohort.audited(leaks=leaks("missing", "missing")),
    "shortcut": with_a_marked_corner,
    "site_and_scanner": with_a_site_for_a_diagnosis,
    "metadata_only": with_age_alone,
    "label_shuffle": with_remembered_patients,
    "intervals_by_patient": with_intervals_by_study,
    "beats_each_input": with_one_input_that_is_enough,
    "thresholds_from_validation": with_thresholds_from_test,
    "operating_points": with_a_threshold_that_does_not_travel,
    "calibration": with_chapter(calibration={"slope": estimate(0.4, 0.1)}),
    "decision_curve": with_chapter(decision_curve={"gain_at_0.5": estimate(-0.05)}),
    "subgroups": with_chapter(subgroups={"site_north_gap": estimate(-0.25, 0.08)}),
    "missing_inputs": with_a_model_lost_without_its_inputs,
    "every_input_is_used": with_an_input_that_is_ignored,
    "out_of_distribution": with_chapter(novelty={"outliers/noise": estimate(0.5)}),
    "conformal_coverage": with_chapter(conformal={"coverage": estimate(0.7, 0.05)}),
    "robustness": with_chapter(robustness={"mild_chest": estimate(0.3, 0.05)}),
    "drift_reference": lambda cohort: replace_package(cohort, references=None),
    "memorisation": with_a_model_that_knows_its_patients,
    "record_complete": lambda cohort: with_facts(cohort, people=None),
}


def replace_package(cohort: Cohort, **fields: Any) -> Audited:
    cohort.package = fields
    return cohort.audited()


def with_facts(cohort: Cohort, **facts: Any) -> Audited:
    cohort.facts = facts
    return cohort.audited()


@pytest.mark.parametrize("check", PLANTED)
def test_a_planted_fault_is_found(check: str) -> None:
    one = found(check, PLANTED[check](make(0)))
    assert one.verdict == "fail", one.evidence
    assert one.evidence


@pytest.mark.parametrize(
    ("check", "plant"),
    [
        ("overlap", lambda one: one.audited(leaks=leaks("two sides", "chest.series"))),
        ("overlap", lambda one: one.audited(leaks=leaks("two sides", "chest.files"))),
        ("near_duplicates", lambda one: one.audited(leaks=leaks("two sides", "history.notes"))),
        ("time_order", lambda one: one.audited(leaks=leaks("later", "labs.discharge"))),
        ("time_order", lambda one: one.audited(leaks=leaks("no index time", "history.time"))),
        ("label_in_text", lambda one: one.audited(leaks=leaks("all words", "history.all_words"))),
        ("calibration", with_chapter(calibration={"in_the_large": estimate(1.2, 0.2)})),
        ("calibration", with_chapter(calibration={"ece": estimate(0.25, 0.05)})),
        ("calibration", with_chapter(calibration={"excess_by_30_days": estimate(0.3, 0.05)})),
        ("out_of_distribution", with_chapter(novelty={"false_alarms": estimate(0.4, 0.05)})),
        ("out_of_distribution", with_chapter(novelty={"false_alarms/chest": estimate(0.4, 0.05)})),
        ("record_complete", lambda one: replace_package(one, digest="")),
        ("thresholds_from_validation", lambda one: replace_package(one, temperature=3.0)),
    ],
)
def test_other_faults_of_the_same_kind_are_found(check: str, plant: Callable[[Cohort], Audited]) -> None:
    assert found(check, plant(make(0))).verdict == "fail"


def test_a_shortcut_of_the_model_itself_is_found_where_nothing_can_be_learned_from() -> None:
    cohort = make(0)
    cohort.image[:, 0, 0:2, 0:2] += 4.0 * (cohort.label - 0.5)[:, None, None]
    cohort.own, cohort.shortcut = False, True
    one = found("shortcut", cohort.audited())
    assert one.verdict == "fail"
    assert "linear" not in one.evidence


def test_a_site_that_is_recognised_but_tells_nothing_is_no_fault(clean: Audited) -> None:
    one = found("site_and_scanner", clean)
    assert one.number is not None
    assert one.number.low > 0.9
    assert one.verdict == "pass"


def test_a_device_that_gives_the_diagnosis_away_is_found_by_image_headers() -> None:
    cohort = make(0)
    with_a_site_for_a_diagnosis(cohort)
    devices = np.where(cohort.site == "north", "GE Optima", "Siemens Ysio").tolist()
    cohort.site = np.full(len(cohort.site), "here")
    one = found("site_and_scanner", cohort.audited(made_on={"chest": devices}))
    assert (one.verdict, one.measure) == ("fail", "AUROC of chest.scanner by the embedding")


def test_a_sound_cohort_of_one_study_a_patient_passes_the_check_of_intervals() -> None:
    cohort = make(0)
    first = np.flatnonzero(np.diff(cohort.patient, prepend=-1))
    cohort.part[np.setdiff1d(np.arange(len(cohort.patient)), first)] = "none"
    assert found("intervals_by_patient", cohort.audited()).verdict == "pass"


def test_numbers_that_claim_more_patients_than_there_are_are_found() -> None:
    many = estimate(0.9, patients=100000)
    audited = make(0).audited(chapters=chapter("discrimination", {"auroc": many}))
    one = found("intervals_by_patient", audited)
    assert one.verdict == "fail"
    assert "discrimination/auroc" in one.evidence


# What cannot be judged is said, and neither passes nor fails.


@pytest.mark.parametrize(
    "check",
    ["metadata_only", "label_shuffle", "thresholds_from_validation", "memorisation"],
)
def test_what_needs_the_training_studies_does_not_apply_to_another_cohort(check: str) -> None:
    cohort = make(0)
    cohort.own = False
    one = found(check, cohort.audited())
    assert one.verdict == "not applicable"
    assert "not in this cohort" in one.evidence


@pytest.mark.parametrize(
    "check",
    ["shortcut", "operating_points", "missing_inputs", "metadata_only", "label_shuffle", "beats_each_input", "calibration"],
)
def test_few_patients_are_not_enough_data(check: str) -> None:
    cohort = make(0, patients=600)
    few = np.unique(cohort.patient[cohort.part == "test"])[6:]
    cohort.part[np.isin(cohort.patient, few) & (cohort.part == "test")] = "none"
    one = found(check, cohort.audited(chapters=chapters()))
    assert one.verdict == "not enough data", one.told()
    assert one.had is not None
    assert one.needed is not None
    assert one.needed > one.had
    assert one.told() == f"not enough data ({one.had} patients, {one.needed} needed)"


@pytest.mark.parametrize("check", list(SOUND)[:3] + list(SOUND)[4:])
def test_a_chapter_without_numbers_says_why_in_its_own_words(check: str) -> None:
    names = {"novelty": "out_of_distribution", "conformal": "conformal_coverage"}
    empty = {check: Chapter(check, check, ("A survival task has none.",))}
    one = found(names.get(check, check), make(0).audited(chapters=empty))
    assert (one.verdict, one.evidence) == ("not applicable", "A survival task has none.")


@pytest.mark.parametrize("check", ["calibration", "decision_curve", "subgroups"])
def test_a_chapter_without_numbers_for_want_of_patients_is_not_enough_data(check: str) -> None:
    cohort = make(0)
    few = np.unique(cohort.patient[cohort.part == "test"])[12:]
    cohort.part[np.isin(cohort.patient, few) & (cohort.part == "test")] = "none"
    empty = {check: Chapter(check, check, ("Too few.",))}
    one = found(check, cohort.audited(chapters=empty))
    assert (one.verdict, one.evidence, one.needed) == ("not enough data", "Too few.", 10)


def test_outliers_are_not_judged_where_no_limit_could_be_drawn() -> None:
    cohort = make(0)
    few = np.unique(cohort.patient[cohort.part == "validation"])[19:]
    cohort.part[np.isin(cohort.patient, few) & (cohort.part == "validation")] = "none"
    blind = {"outliers/noise": Estimate(0.5, 0.5, 0.5, 200, 128, 2000)}
    one = found("out_of_distribution", cohort.audited(chapters=chapters(novelty=blind)))
    assert one.told() == "not enough data (19 patients, 20 needed)"


def test_another_cohort_without_its_learners_passes_the_check_of_overlap() -> None:
    cohort = make(0)
    cohort.own, cohort.learned_from = False, 7
    one = found("overlap", cohort.audited())
    assert one.verdict == "pass"
    assert "7 such were left out" in one.evidence


def test_whom_a_model_of_tables_knows_in_another_cohort_cannot_be_told() -> None:
    cohort = make(0)
    cohort.own, cohort.facts = False, {"learned_from": []}
    one = found("overlap", cohort.audited())
    assert one.verdict == "not applicable"
    assert "cannot be told" in one.evidence


def test_the_leakage_checks_of_another_cohort_are_those_on_record() -> None:
    cohort = make(0)
    row = {"check": "column", "name": "labs.crp", "class": "ill", "found": "AUROC 0.99", "verdict": "LEAK"}
    rows = [{**row, "auroc": 0.99, "at_least": 0.97, "studies": 90, "patients": 80}]
    cohort.own, cohort.facts = False, {"proof": {"checks": rows, "waived": {}}}
    audited = cohort.audited(leaks=recorded({"proof": {"checks": rows}}))
    one = found("label_in_table", audited)
    assert one.verdict == "fail"
    assert one.number == Estimate(0.99, 0.97, 1.0, 90, 80, 0)
    assert one.evidence == "as the training recorded it: labs.crp: AUROC 0.99"


def test_a_leak_that_the_training_waived_is_waived_with_its_reason() -> None:
    cohort = make(0)
    cohort.config = settings(leakage={"waive": {"labs.crp": "a marker of the disease"}})
    one = found("label_in_table", cohort.audited(leaks=leaks("column", "labs.crp")))
    assert one.told() == "waived (a marker of the disease)"


# The rule of verdicts.


def test_the_limits_that_decide_hold_for_all_checks_at_once() -> None:
    one = Estimate(0.6, 0.5, 0.8, 100, 100, 2000)
    wide = widened(one, comparisons=4)
    by = norm.isf(FAMILY / CHECKED / 4) / norm.isf(0.025)  # 3.29 / 1.96
    assert by == pytest.approx(1.679, abs=1e-3)
    assert (wide.low, wide.high) == pytest.approx((0.6 - 0.1 * by, 0.6 + 0.2 * by))
    assert beyond(one, most=0.4)
    assert not beyond(one, most=0.5)  # beyond the 95 % interval is not enough


def test_a_failure_needs_evidence_and_a_pass_an_interval_that_tells_something() -> None:
    def verdict(value: float, half: float, patients: int = 50) -> Finding:
        return judge("AUROC", estimate(value, half, patients), "so", most=0.7)

    assert verdict(0.9, 0.05).verdict == "fail"
    assert verdict(0.69, 0.2).verdict == "pass"  # no evidence that it is above the limit
    # By hand: the limit is 0.05 away, the deciding one 0.2 * 2.878 / 1.960 = 0.294, so (0.294 / 0.05)² = 34.5 times as many.
    doubtful = verdict(0.75, 0.2)
    assert doubtful.told() == "not enough data (50 patients, 1726 needed)"
    assert "beyond the limit of 0.7, but not surely" in doubtful.evidence
    assert verdict(0.9, 0.05, patients=9).told() == "not enough data (9 patients, 10 needed)"
    assert verdict(0.6, 0.5, patients=50).told() == "not enough data (50 patients, 200 needed)"  # twice too wide


def test_a_share_of_patients_has_the_interval_of_wilson() -> None:
    one = share(np.array([True, True, False, False, False]), np.array([1, 1, 2, 3, 4]))
    # Of 4 patients 1: centre (0.25 + z²/8) / (1 + z²/4), by hand with z = 1.96.
    assert (one.value, one.studies, one.patients) == (0.25, 5, 4)
    assert (one.low, one.high) == pytest.approx((0.0456, 0.6994), abs=1e-4)


def test_the_difference_of_two_numbers_has_the_interval_of_zou_and_donner() -> None:
    one = less(Estimate(0.8, 0.7, 0.86, 10, 10, 0), Estimate(0.5, 0.42, 0.6, 10, 10, 0))
    assert (one.value, one.low, one.high) == pytest.approx((0.3, 0.3 - np.hypot(0.1, 0.1), 0.3 + np.hypot(0.06, 0.08)))


def test_blanking_leaves_the_frame_and_takes_the_centre() -> None:
    image = np.arange(64.0).reshape(1, 8, 8)
    left = blanked(image, (-2, -1))
    np.testing.assert_array_equal(left[0, 0], image[0, 0])
    np.testing.assert_array_equal(left[0, :, 7], image[0, :, 7])
    assert np.unique(left[0, 1:7, 1:7]).size == 1
    volume = np.random.default_rng(0).random((1, 8, 8, 3))
    left = blanked(volume, (-3, -2))
    np.testing.assert_array_equal(left[:, 0], volume[:, 0])
    assert np.unique(left[0, 1:7, 1:7]).size == 1


def test_a_simple_model_of_survival_ranks_as_the_hazard_does() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((400, 2))
    time = rng.exponential(np.exp(-1.5 * x[:, 0]))
    target = np.stack([np.minimum(time, 2.0), time < 2.0], axis=1).astype(float)
    said = simple_answers(x, target, x, "survival")[:, 0]
    assert np.corrcoef(said, x[:, 0])[0, 1] > 0.95


# Waivers, the record of an audit, and its exit status.


def test_a_waiver_lets_its_failure_pass_and_is_told_where_it_lets_none(clean: Audited) -> None:
    failing = replace(clean, leaks=leaks("column", "labs.crp"))
    waive = {"label_in_table": "a marker", "shortcut": "needless", "shortcuts": "misspelt"}
    findings, idle = check_all(failing, waive)
    by_name = {one.check: one for one in findings}
    assert by_name["label_in_table"].told() == "waived (a marker)"
    assert by_name["shortcut"].verdict == "pass"
    assert idle == ("shortcut", "shortcuts")
    assert not any(one.verdict == "fail" for one in findings)


def test_waivers_are_read_with_their_reasons() -> None:
    assert waivers(["shortcut = a = b"]) == {"shortcut": "a = b"}
    for wrong in ("shortcut", "shortcut=", "=why"):
        with pytest.raises(ConfigError, match="is not of the form CHECK=REASON"):
            waivers([wrong])


def test_an_audit_is_plain_data_and_a_chapter(clean: Audited) -> None:
    findings, idle = check_all(replace(clean, leaks=leaks("column", "labs.crp")), {})
    content = json.loads(json.dumps(plain(findings, idle, "m", "c"), allow_nan=False))
    assert not content["passes"]
    assert content["verdicts"]["fail"] == 1
    assert [row["check"] for row in content["checks"]] == list(CHECKS)
    one = audit_chapter(findings)
    assert set(one.measures) == {row.check for row in findings if row.number is not None}
    assert any("label in table fails: labs.crp" in said for said in one.says)
    assert list(one.tables["checks"]["check"]) == list(CHECKS)


@pytest.mark.parametrize(
    ("options", "status"),
    [([], 1), (["--waive", "label_in_table=a marker"], 0), (["--waive", "label_in_table"], 1)],
)
def test_the_exit_status_is_0_only_where_no_check_fails(
    options: list[str], status: int, clean: Audited, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = replace(clean, leaks=leaks("column", "labs.crp"))

    def audit(model: str, config: object, waive: dict[str, str], screen: object) -> AuditReport:
        return AuditReport(*check_all(failing, waive), "m", "c", tmp_path, "#/")

    monkeypatch.setattr("medmm.workflows.audit.run.audit_model", audit)
    monkeypatch.setattr("medmm.config.load_config", lambda path, overrides: settings())
    result = CliRunner().invoke(app, ["audit", "runs/chest", "chest.yaml", *options])
    assert result.exit_code == status
    if options != ["--waive", "label_in_table"]:
        assert ("waived (a marker)" in result.output) == bool(options)
        assert "fails: label_in_table" in result.output or options


@pytest.mark.slow
def test_clean_cohorts_hardly_ever_raise_an_alarm() -> None:
    alarms, counts = false_alarms(cohorts=40, patients=200)
    assert len({one.partition(":")[0] for one in alarms}) <= 0.05 * 40, alarms
    assert counts["pass"] > 0.8 * 25 * 40  # it is not silent for want of data
