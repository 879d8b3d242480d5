"""Rules are parsed, bound, tested and applied as they are written; what is wrong is shown by line and column.

Expected values are worked out by hand.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medmm.cohort.studies import CohortSettings
from medmm.cohort.target import TargetSettings
from medmm.config import RunConfig, load_config, parse_config
from medmm.errors import Code, ConfigError, Rejected
from medmm.inputs import INPUTS
from medmm.rules.book import Rulebook, bind_rules
from medmm.rules.condition import Compare, ConditionError, Every, Not, Some, parse_condition
from medmm.rules.faults import RulesError
from medmm.rules.logic import truth
from medmm.rules.penalty import penalty_bounds
from medmm.rules.reading import parse_rules
from medmm.rules.settings import Rule
from medmm.rules.tally import tally
from medmm.rules.trial import try_rules
from medmm.rules.words import in_words
from medmm.strict_yaml import read_document
from medmm.types import Evidence, Study

INPUT_SETTINGS: dict[str, dict[str, Any]] = {
    "chest": {"kind": "image", "path": "dicom"},
    "labs": {
        "kind": "tabular",
        "table": "labs.csv",
        "layout": "long",
        "numeric": {
            "crp": {"unit": "mg/L", "range": [0, 600], "statistics": ["last", "slope", "time_since", "count"]},
            "lactate": {"unit": "mmol/L"},
            "glucose": {"unit": "mmol/L", "molar_mass": 180.16},
            "score": {},
            "1988-5": {"unit": "mg/L"},
        },
        "categorical": ["ward", "sex"],
        "categories": {"sex": ["male", "female"]},
    },
}
INPUTS_OF = {name: INPUTS.pick(one["kind"]).model_validate(one) for name, one in INPUT_SETTINGS.items()}
COHORT = CohortSettings(root=Path("x"), time="time", person=("born",))
BINARY = TargetSettings(column="diagnosis", positive="sepsis")
MULTI = TargetSettings(column="diagnosis", task="multiclass", classes=("none", "sepsis", "shock"))


def rule(when: str, name: str = "one", **then: Any) -> Rule:
    return Rule.model_validate({"name": name, "when": when, "then": then or {"flag": "look"}})


def book(*rules: Rule, target: TargetSettings = BINARY) -> Rulebook:
    return bind_rules(rules, INPUTS_OF, COHORT, target)


def study(labs: Mapping[str, str] | None, row: int = 1, **cells: str) -> Study:
    evidence = {"chest": Evidence(files=(Path("a"),))}
    if labs is not None:
        evidence["labs"] = Evidence(cells=labs)
    return Study(row, "p", "s", cells=cells, evidence=evidence)


def fires(when: str, one: Study) -> bool:
    return book(rule(when)).rules[0].fires(one)


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ("labs.crp.last >= 200 mg/L", True),
        ("labs.crp.last > 200 mg/L", False),
        ("labs.crp.last <= 200 mg/L", True),
        ("labs.crp.last < 200 mg/L", False),
        ("labs.crp.last >= 20 mg/dL", True),  # 20 mg/dL are 200 mg/L
        ("labs.crp.last > 20 mg/dL", False),
        ("labs.crp.last < 0.21 g/L", True),
        ("labs.glucose > 90 mg/dL", True),  # 5 mmol/L of glucose are 90.08 mg/dL
        ("labs.glucose > 90.1 mg/dL", False),
        ("labs.crp.slope >= 1 mg/dL/d", True),  # 10 mg/L a day
        ("labs.crp.time_since < 37 hours", True),  # 1.5 days are 36 hours
        ("labs.crp.time_since < 36 h", False),
        ("labs.crp.count >= 3", True),
        ("labs.score between 1 and 2", True),
        ("labs.lactate between 4 mmol/L and 5 mmol/L", True),
        ("labs.lactate between 4.1 mmol/L and 5 mmol/L", False),
        ('labs."1988-5" > 7 mg/L', True),
        ('labs.sex is "male"', True),
        ('labs.sex is not "male"', False),
        ("labs.ward in ('icu', 'emergency')", True),
        ("study.age >= 65", True),
        ('study.site is "A"', True),
        ('study.site is "B"', False),
        ("known(labs.crp.last)", True),
        ("missing(labs.crp.last)", False),
        ("missing(study.weight)", True),
        ("known(chest)", True),
        ("missing(chest)", False),
        ('all(labs.crp.last > 100 mg/L, any(study.age > 90, not(labs.sex is "female")))', True),
    ],
)
def test_a_comparison_is_made_in_the_unit_of_the_column(when: str, expected: bool) -> None:
    labs = {
        "crp.last": "200", "crp.slope": "10", "crp.time_since": "1.5", "crp.count": "3", "lactate": "4", "glucose": "5",
        "score": "2", "1988-5": "7.5", "ward": "icu", "sex": "male",
    }  # fmt: skip
    assert fires(when, study(labs, age="65", site="A")) is expected


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        # unknown u, true t, false f: Kleene's tables
        ("labs.lactate > 1 mmol/L", None),
        ("not(labs.lactate > 1 mmol/L)", None),
        ("all(labs.lactate > 1 mmol/L, labs.score > 0)", None),
        ("all(labs.lactate > 1 mmol/L, labs.score > 5)", False),
        ("any(labs.lactate > 1 mmol/L, labs.score > 0)", True),
        ("any(labs.lactate > 1 mmol/L, labs.score > 5)", None),
        ('labs.sex is not "male"', None),
        ("missing(labs.lactate)", True),
        ("any(missing(labs.lactate), labs.lactate > 1 mmol/L)", True),
    ],
)
def test_what_cannot_be_told_stays_so_unless_the_rest_decides(when: str, expected: bool | None) -> None:
    from medmm.rules.logic import values_of

    one = study({"score": "1", "lactate": "", "sex": ""})
    bound = book(rule(when)).rules[0]
    assert truth(bound.condition, values_of(one)) is expected
    assert bound.fires(one) is (expected is True)
    assert not bound.fires(study(None)) or when.startswith(("missing", "any(missing"))


@pytest.mark.parametrize("cell", ["nan", "inf", "1_000", "many"])
def test_a_cell_that_is_no_number_is_not_known(cell: str) -> None:
    assert not fires("labs.score > 0", study({"score": cell}))
    assert not fires("not(labs.score > 0)", study({"score": cell}))


def test_the_structure_of_a_condition() -> None:
    found = parse_condition('all(labs.crp >= 200 mg/L, any(a.b < -1.5e1, not(a.c is "x, y)")))')
    assert isinstance(found, Every)
    first, second = found.parts
    assert isinstance(first, Compare)
    assert (first.ref.name, first.comparison, first.limit.value, first.limit.unit) == ("labs.crp", ">=", 200, "mg/L")
    assert isinstance(second, Some)
    assert isinstance(second.parts[0], Compare)
    assert second.parts[0].limit.value == -15
    assert isinstance(second.parts[1], Not)
    assert second.parts[1].part.texts == ("x, y)",)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("when", "offset", "message"),
    [
        ("labs.crp.last > 700 mg/L", 16, "can never be true, labs.crp.last lies between 0 and 600 mg/L"),
        ("labs.crp.last < 0 mg/L", 16, "can never be true"),
        ("labs.crp.last > 600 mg/L", 16, "can never be true"),
        ("labs.crp.last >= 61 mg/dL", 17, "can never be true"),
        ("labs.crp.last between 601 mg/L and 700 mg/L", 22, "can never be true"),
        ("labs.lactate between 5 mmol/L and 4 mmol/L", 21, "the lower limit is above the upper one"),
        ("labs.lactate > 4 mg/L", 15, "unit 'mg/L' cannot become mmol/L"),
        ("labs.lactate > 4 bananas", 15, "unit 'bananas' cannot become mmol/L"),
        ("labs.lactate > 4", 15, "no unit, labs.lactate is in mmol/L"),
        ("labs.score > 4 mg/L", 13, "labs.score has no declared unit, found 'mg/L'"),
        ("study.age >= 65 years", 13, "study.age has no declared unit"),
        ("labs.lactat > 4 mmol/L", 0, "unknown column labs.lactat: did you mean 'labs.lactate'?"),
        ("lab.lactate > 4 mmol/L", 0, "did you mean 'labs.lactate'?"),
        ("not(lactate > 4 mmol/L)", 4, "unknown column lactate: write its input too, as labs.lactate"),
        ("age > 4", 0, "write its input too, as study.age"),
        ("labs.l\u0430ctate > 4 mmol/L", 0, r"(in ASCII labs.l\u0430ctate): did you mean 'labs.lactate'?"),
        ("chest > 4", 0, "chest is a whole input"),
        ('labs.sex is "man"', 12, "labs.sex has no category 'man': known are male, female"),
        ('labs.sex in ("male", "femal")', 21, "did you mean 'female'?"),
        ("labs.sex > 3", 11, "labs.sex is a category"),
        ('labs.lactate is "4"', 16, "labs.lactate is a number"),
        ('study.diagnosis is "sepsis"', 0, "study.diagnosis is the target: no rule may read it"),
        ('study.patient_id is "p1"', 0, "is an identifier"),
        ('study.study_id is "s1"', 0, "is an identifier"),
        ('study.born is "x"', 0, "is an identifier"),
    ],
)
def test_a_condition_that_does_not_fit_its_columns_is_refused_at_its_character(when: str, offset: int, message: str) -> None:
    with pytest.raises(RulesError) as caught:
        book(rule(when))
    (fault,) = caught.value.faults
    assert (fault.path, fault.offset) == ((0, "when"), offset)
    assert message in fault.message


@pytest.mark.parametrize(
    ("when", "offset", "message"),
    [
        ("", 0, "found the end, expected all( or any( or not("),
        ("labs.crp >", 10, "found the end, expected a number"),
        ("labs.crp => 2", 9, "found '='"),
        ("labs.crp == 2", 9, "<, <=, > or >="),
        ('labs.crp > "a"', 11, "expected a number"),
        ("labs.sex is male", 12, "expected a text in quotes"),
        ("labs.crp > 2 mg/L and labs.x > 3", 18, "found 'and', expected the end; write all(..., ...)"),
        ("alll(labs.crp > 2)", 0, "no such word as 'alll': did you mean 'all'?"),
        ("all(labs.crp > 2", 16, "expected a closing bracket or a comma"),
        ("all()", 4, "found ')'"),
        ("labs.crp ≥ 2", 9, "found '≥'"),
        ("labs.crp > 1e999 mg/L", 11, "too large"),
        ("not(" * 13 + "labs.crp > 2" + ")" * 13, 52, "nested deeper than 12"),
    ],
)
def test_a_text_that_is_no_condition_is_refused_at_its_character(when: str, offset: int, message: str) -> None:
    with pytest.raises(ConditionError) as caught:
        parse_condition(when)
    assert caught.value.offset == offset
    assert message in str(caught.value)


LIST = """\
- name: one
  when: {when}
  then: {{flag: look}}
"""


@pytest.mark.parametrize(
    ("when", "line", "column"),
    [
        ("labs.a > 3 mg/L x", 2, 25),
        ("'labs.a > 3 mg/L x'", 2, 26),
        ('"labs.a > 3 mg/L x"', 2, 26),
        ('"labs.a is \\"a\\" x"', 2, 26),  # an escaped quote takes two columns
        ("'labs.a is ''a'' x'", 2, 26),  # two that stand for one
        ("'labs.a is \"it''s\" x'", 2, 28),
        ("\"labs.a\\tis\\u0020'a' x\"", 2, 30),
        ("|\n    labs.a > 3 mg/L x", 3, 21),
        (">\n    all(labs.a > 3 mg/L,\n\n        labs.b > 3 mg/L x)", 5, 25),
        ("all(labs.a > 3 mg/L,\n    labs.b > 3 mg/L x)", 3, 21),
        ('"all(labs.a > 3 mg/L, \\\n    labs.b > 3 mg/L x)"', 3, 21),
        ("labs.a >", 2, 17),
    ],
)
def test_a_fault_is_found_in_every_way_of_writing_a_text(tmp_path: Path, when: str, line: int, column: int) -> None:
    (tmp_path / "rules.yaml").write_text(LIST.format(when=when))
    with pytest.raises(RulesError) as caught:
        parse_rules(read_document(tmp_path / "rules.yaml", "file of rules"))
    assert str(caught.value).startswith(f"rules.yaml, line {line}, column {column}: found ")
    ((_, excerpt),) = caught.value.explained()
    text, caret = excerpt.splitlines()
    assert text == (tmp_path / "rules.yaml").read_text().splitlines()[line - 1]
    assert caret == " " * (column - 1) + "^"


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("- {name: a, wen: x, then: {flag: x}}", (1, 13), "unknown key 'wen': did you mean 'when'?"),
        ("- {name: a, when: missing(x), then: {flag: x, floor: {probability: 1}}}", (1, 37), "does flag and floor"),
        ("- {name: a, when: missing(x), then: {}}", (1, 37), "does nothing: give one of reject, flag, penalty"),
        ("- {name: a, when: missing(x), then: {floor: {probability: 1.2}}}", (1, 59), "less than or equal to 1"),
        ("- {name: a, when: missing(x), then: {floor: {probability: .nan}}}", (1, 59), "finite"),
        ("- {name: a, when: missing(x), then: {penalty: {weight: 1}}}", (1, 47), "give one of at_least and at_most"),
        ("- {name: a b, when: missing(x), then: {flag: x}}", (1, 10), "a name has letters"),
        ("- {name: a, when: missing(x), then: {flag: ''}}", (1, 45), "says nothing"),
        ("- {name: a, then: {flag: x}}", (1, 3), "field required"),
        ("- 3", (1, 3), ""),
        ("rules: 3", (1, 8), ""),
        ("[]", (1, 1), "no rule stands here"),
        (
            "- {name: a, when: missing(x), then: {flag: x}}\n- {name: a, when: missing(x), then: {flag: x}}",
            (2, 10),
            "'a' stands twice",
        ),
        (
            "- {name: a, when: b.c > 3 mg/L, then: {flag: x}}\n- {name: b, when: b.c > 3 mmol/L, then: {flag: x}}",
            (2, 25),
            "unit 'mmol/L' cannot become mg/L",
        ),
        (
            "- {name: a, when: missing(x), then: {flag: x}, tests: [{given: {'b c': 3}}]}",
            (1, 66),
            "found 'c'",
        ),
        (
            "- {name: a, when: missing(x), then: {flag: x}, tests: [{probability: 0.1, becomes: 0.2}]}",
            (1, 3),
            "flag changes no probability",
        ),
    ],
)
def test_a_wrong_rule_is_shown_by_line_and_column(tmp_path: Path, text: str, place: tuple[int, int], message: str) -> None:
    (tmp_path / "rules.yaml").write_text(text)
    with pytest.raises(RulesError) as caught:
        parse_rules(read_document(tmp_path / "rules.yaml", "file of rules"))
    line, column = place
    assert f"rules.yaml, line {line}, column {column}: " in str(caught.value)
    assert message in str(caught.value)


def test_every_wrong_rule_of_a_file_is_shown_at_once_in_its_order(tmp_path: Path) -> None:
    text = "".join(f"- {{name: {name}, when: '{when}', then: {{flag: x}}}}\n" for name, when in zip("abc", "xyz", strict=True))
    (tmp_path / "rules.yaml").write_text(text)
    with pytest.raises(RulesError) as caught:
        parse_rules(read_document(tmp_path / "rules.yaml", "file of rules"))
    assert [line.partition(":")[0] for line, _ in caught.value.explained()] == [
        f"rules.yaml, line {n}, column 21" for n in (1, 2, 3)
    ]


RUN = """\
name: chest
cohort: {root: data}
target: {column: diagnosis, positive: sepsis}
inputs:
  labs: {kind: tabular, table: labs.csv, numeric: {lactate: {unit: mmol/L}}}
"""


def test_rules_stand_in_the_run_file_or_in_a_file_beside_it(tmp_path: Path) -> None:
    rules = "- {name: a, when: labs.lactate > 4 mmol/L, then: {alert: look}}\n"
    (tmp_path / "one.yaml").write_text(RUN + "rules:\n" + rules)
    (tmp_path / "two.yaml").write_text(RUN + "rules: more/sepsis.yaml\n")
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "sepsis.yaml").write_text(rules)
    one, two = load_config(tmp_path / "one.yaml"), load_config(tmp_path / "two.yaml")
    assert [r.name for r in one.rules] == ["a"]
    assert one.rules == two.rules
    (tmp_path / "more" / "sepsis.yaml").write_text("rules:\n" + rules)
    assert load_config(tmp_path / "two.yaml").rules == one.rules
    assert RunConfig.model_validate(one.model_dump(mode="json")) == one


def test_a_rule_of_a_run_is_shown_where_it_is_written(tmp_path: Path) -> None:
    rules = "- {name: a, when: labs.lactat > 4 mmol/L, then: {alert: look}}\n"
    (tmp_path / "run.yaml").write_text(RUN + "rules:\n" + rules)
    with pytest.raises(RulesError, match=r"^run\.yaml, line 7, column 19: unknown column labs\.lactat"):
        load_config(tmp_path / "run.yaml")
    (tmp_path / "run.yaml").write_text(RUN + "rules: sepsis.yaml\n")
    (tmp_path / "sepsis.yaml").write_text(rules)
    with pytest.raises(RulesError, match=r"^sepsis\.yaml, line 1, column 19: unknown column labs\.lactat"):
        load_config(tmp_path / "run.yaml")
    with pytest.raises(ConfigError, match=r"^run\.yaml: name: .*; sepsis\.yaml, line 1, column 13: .*'wen'"):
        (tmp_path / "sepsis.yaml").write_text(rules.replace("when", "wen"))
        load_config(tmp_path / "run.yaml", ["name=a b"])


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "/etc/passwd", "../up.yaml", "/x.yaml", "link.yaml", "notes.txt", "a\\0.yaml", "~/x.yaml"]
)
def test_a_file_of_rules_lies_beside_the_run_file(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "runs"
    folder.mkdir()
    (tmp_path / "up.yaml").write_text("- {name: a, when: missing(labs), then: {flag: x}}")
    (folder / "link.yaml").symlink_to(tmp_path / "up.yaml")
    (folder / "notes.txt").write_text("- {name: a, when: missing(labs), then: {flag: x}}")
    (folder / "run.yaml").write_text(f'{RUN}rules: "{name}"\n')
    with pytest.raises(ConfigError, match=r"is no YAML file beside the run file|there is no file of rules"):
        load_config(folder / "run.yaml")


def test_an_input_called_study_would_hide_the_studies_table() -> None:
    content = {
        "name": "x",
        "cohort": {"root": "x"},
        "target": {"column": "y", "positive": "z"},
        "inputs": {"study": {"kind": "tabular", "table": "t.csv", "categorical": ["sex"]}},
    }
    assert parse_config(content, "x").rules == ()
    with pytest.raises(RulesError, match="rename the input"):
        parse_config({**content, "rules": [{"name": "a", "when": "known(study)", "then": {"flag": "x"}}]}, "x")


# ---- what rules do


def test_a_rejected_input_is_absent_and_the_others_go_on() -> None:
    rules = book(rule("labs.lactate > 40 mmol/L", "odd", reject="labs"), rule("missing(labs)", "none"))
    one = study({"lactate": "41"})
    after = rules.before(one)
    assert list(after.evidence) == ["chest"]
    assert after.rejected == {}
    assert [str(fired) for fired in after.fired] == ["odd: rejected labs"]  # every rule sees the study as it came
    assert rules.before(study({"lactate": "40"})).evidence.keys() == {"chest", "labs"}


def test_the_last_input_takes_the_study_with_it() -> None:
    one = Study(7, "p", "s", evidence={"labs": Evidence(cells={"lactate": "41"})})
    after = book(rule("labs.lactate > 40 mmol/L", "odd", reject="labs")).before(one)
    assert after.evidence == {}
    assert after.rejected["labs"].code is Code.RULE
    assert str(after.rejected["labs"]).startswith(
        "E_RULE: study in row 7, input labs: found values for which the rule odd fires"
    )


def test_an_input_that_is_not_there_is_not_rejected_again() -> None:
    one = replace(study({"lactate": "41"}), evidence={"labs": Evidence(cells={"lactate": "41"})})
    after = book(rule("labs.lactate > 40 mmol/L", "odd", reject="chest")).before(one)
    assert after.rejected == {}
    assert after.evidence.keys() == {"labs"}
    assert [str(fired) for fired in after.fired] == ["odd: chest is absent or rejected already"]


def test_a_study_that_is_rejected_already_stays_as_it_is() -> None:
    one = study({"lactate": "41"}).with_input("chest", Rejected(Code.GAP, "x", "x", "x", "x"))
    assert book(rule("labs.lactate > 40 mmol/L", "odd", reject="labs"), rule("known(labs)", "there")).before(one) is one


def test_a_flag_leaves_the_study_as_it_is() -> None:
    one = study({"lactate": "41"})
    after = book(rule("labs.lactate > 40 mmol/L", "odd", flag="repeat  the\nmeasurement")).before(one)
    assert after == replace(one, fired=after.fired)
    assert [(f.rule, f.effect, f.said) for f in after.fired] == [("odd", "flag", "repeat the measurement")]


def moved_by(then: dict[str, Any], old: float) -> tuple[float, str]:
    row, fired = book(rule("labs.score > 0", **then)).after(study({"score": "1"}), np.array([old]))
    return float(row[0]), fired[0].said


@pytest.mark.parametrize(
    ("then", "old", "new", "said"),
    [
        ({"floor": {"probability": 0.8}}, 0.2, 0.8, "floor sepsis 0.200 -> 0.800"),
        ({"floor": {"probability": 0.8}}, 0.9, 0.9, "floor sepsis 0.900 -> 0.900"),
        ({"ceiling": {"probability": 0.1}}, 0.2, 0.1, "ceiling sepsis 0.200 -> 0.100"),
        ({"ceiling": {"class": "sepsis", "probability": 0.1}}, 0.05, 0.05, "ceiling sepsis 0.050 -> 0.050"),
        ({"override": {"probability": 0.5}}, 0.9, 0.5, "override sepsis 0.900 -> 0.500"),
        ({"alert": "call"}, 0.9, 0.9, "call"),
        ({"penalty": {"at_least": 0.8}}, 0.2, 0.2, "violated, sepsis 0.200, wanted at least 0.8"),
        ({"penalty": {"at_least": 0.8}}, 0.8, 0.8, "kept, sepsis 0.800, wanted at least 0.8"),
        ({"penalty": {"at_most": 0.1}}, 0.2, 0.2, "violated, sepsis 0.200, wanted at most 0.1"),
    ],
)
def test_what_a_rule_does_to_a_probability(then: dict[str, Any], old: float, new: float, said: str) -> None:
    assert moved_by(then, old) == (pytest.approx(new), said)


def test_of_two_overrides_the_later_wins_and_both_are_traced() -> None:
    high, low = (rule("labs.score > 0", name, override={"probability": p}) for name, p in (("high", 0.9), ("low", 0.1)))
    for first, second, expected in ((high, low, 0.1), (low, high, 0.9)):
        row, fired = book(first, second).after(study({"score": "1"}), np.array([0.4]))
        assert row[0] == pytest.approx(expected)
        assert [f.rule for f in fired] == [first.name, second.name]
    assert "override sepsis 0.100 -> 0.900" in str(fired[1])


def test_a_penalty_judges_the_model_alone_whatever_rules_did_before() -> None:
    rules = (
        rule("labs.score > 0", "lift", floor={"probability": 0.9}),
        rule("labs.score > 0", "hold", penalty={"at_least": 0.5}),
    )
    _, fired = book(*rules).after(study({"score": "1"}), np.array([0.2]))
    assert fired[1].said == "violated, sepsis 0.200, wanted at least 0.5"


def test_the_other_classes_keep_their_ratios_and_the_sum() -> None:
    rules = book(rule("labs.score > 0", floor={"class": "shock", "probability": 0.6}), target=MULTI)
    row, _ = rules.after(study({"score": "1"}), np.array([0.3, 0.5, 0.2]))
    np.testing.assert_allclose(row, [0.15, 0.25, 0.6])  # 0.8 becomes 0.4, so the others are halved
    certain, _ = rules.after(study({"score": "1"}), np.array([1.0, 0.0, 0.0]))
    np.testing.assert_allclose(certain, [0.4, 0.0, 0.6])
    down = book(rule("labs.score > 0", ceiling={"class": "none", "probability": 0.5}), target=MULTI)
    np.testing.assert_allclose(down.after(study({"score": "1"}), np.array([1.0, 0.0, 0.0]))[0], [0.5, 0.25, 0.25])


def test_several_labels_are_moved_apart() -> None:
    target = TargetSettings(column="d", task="multilabel", classes=("a", "b"))
    rules = book(rule("labs.score > 0", floor={"class": "b", "probability": 0.6}), target=target)
    np.testing.assert_allclose(rules.after(study({"score": "1"}), np.array([0.9, 0.2]))[0], [0.9, 0.6])


def test_answers_of_studies_without_a_firing_are_the_models_own() -> None:
    rules = book(rule("labs.score > 0", floor={"probability": 0.8}))
    some = [study({"score": "1"}), study({"score": "0"}), study(None)]
    after, fired = rules.answers(some, np.array([[0.2], [0.2], [0.3]]))
    np.testing.assert_allclose(after, [[0.8], [0.2], [0.3]])
    assert [len(one) for one in fired] == [1, 0, 0]
    assert rules.answers([], np.empty((0, 1)))[0].shape == (0, 1)


@pytest.mark.parametrize(
    ("then", "target", "message"),
    [
        ({"floor": {"probability": 0.8}}, MULTI, "names no class: give one of none, sepsis, shock"),
        ({"penalty": {"class": "sepsi", "at_least": 0.8}}, MULTI, "the target has no class 'sepsi': did you mean 'sepsis'?"),
        ({"reject": "lab"}, BINARY, "no input is called 'lab': did you mean 'labs'?"),
    ],
)
def test_a_rule_that_speaks_of_no_class_or_input_is_refused(then: dict[str, Any], target: TargetSettings, message: str) -> None:
    with pytest.raises(RulesError) as caught:
        book(rule("labs.score > 0", **then), target=target)
    assert message in str(caught.value)


# ---- penalties


def test_penalties_are_bounds_of_the_studies_for_which_they_fire() -> None:
    rules = book(
        rule("labs.lactate > 8 mmol/L", "higher", penalty={"class": "shock", "at_least": 0.7}),
        rule("labs.lactate > 4 mmol/L", "high", penalty={"class": "shock", "at_least": 0.5, "weight": 2}),
        rule("labs.lactate < 1 mmol/L", "low", penalty={"class": "shock", "at_most": 0.1, "weight": 0.5}),
        rule("labs.lactate < 0.6 mmol/L", "lowest", penalty={"class": "shock", "at_most": 0.3, "weight": 0.25}),
        rule("labs.lactate > 0 mmol/L", "flagged"),
        target=MULTI,
    )
    some = [study({"lactate": cell}) for cell in ("5", "9", "0.5", "2", "")] + [study(None)]
    bounds, weights = penalty_bounds(rules, some)
    assert (bounds.shape, bounds.dtype, weights.shape, weights.dtype) == ((6, 3, 2), np.float32, (6, 3), np.float32)
    np.testing.assert_allclose(bounds[:, 2], [[0.5, 1], [0.7, 1], [0, 0.1], [0, 1], [0, 1], [0, 1]])
    np.testing.assert_allclose(weights[:, 2], [2, 2, 0.5, 0, 0, 0])
    np.testing.assert_allclose(bounds[:, :2], np.broadcast_to([0, 1], (6, 2, 2)))
    assert not weights[:, :2].any()


def test_a_study_whose_input_was_rejected_is_not_penalised() -> None:
    rules = book(
        rule("labs.lactate > 40 mmol/L", "odd", reject="labs"),
        rule("labs.lactate > 4 mmol/L", "high", penalty={"at_least": 0.5}),
    )
    some = [rules.before(study({"lactate": cell})) for cell in ("41", "5")]
    assert penalty_bounds(rules, some).weights.tolist() == [[0], [1]]


def test_a_planted_violation_is_found_penalised_and_traced() -> None:
    rules = book(rule("labs.lactate > 4 mmol/L", "high", penalty={"at_least": 0.8}))
    some = [study({"lactate": "2"}), study({"lactate": "9"}), study({"lactate": "3"})]
    said = np.array([[0.1], [0.3], [0.2]])
    assert tally(rules, some, {"test": range(3)}).to_dict("records") == [{"rule": "high", "effect": "penalty", "test": 1}]
    bounds, weights = penalty_bounds(rules, some)
    hinge = weights * np.maximum(bounds[..., 0] - said, 0)
    np.testing.assert_allclose(hinge, [[0], [0.5], [0]], atol=1e-6)  # 0.8 - 0.3
    _, fired = rules.answers(some, said)
    assert [[str(f) for f in one] for one in fired] == [[], ["high: violated, sepsis 0.300, wanted at least 0.8"], []]


# ---- tests of rules, and words


def trial(when: str, then: Mapping[str, Any], **test: Any) -> str:
    one = Rule.model_validate({"name": "one", "when": when, "then": then, "tests": [test]})
    (found,) = try_rules((one,), book(one).columns)
    return found.failure


FLOOR = {"floor": {"probability": 0.8}}


@pytest.mark.parametrize(
    ("test", "failure"),
    [
        ({"given": {"labs.lactate": "5 mmol/L"}}, ""),
        ({"given": {"labs.lactate": "5000 umol/L"}}, ""),
        ({"given": {"labs.lactate": "3 mmol/L"}, "fires": False}, ""),
        ({"given": {"labs.lactate": "3 mmol/L"}}, "it does not fire, expected that it fires"),
        ({"given": {"labs.lactate": "5 mmol/L"}, "fires": False}, "it fires, expected that it does not"),
        ({"given": {}}, "it cannot be told, and so does not fire, expected that it fires"),
        ({"given": {"labs.lactate": None}, "fires": False}, ""),
        ({"given": {"labs.lactate": "5 mmol/L"}, "probability": 0.1, "becomes": 0.8}, ""),
        ({"given": {"labs.lactate": "5 mmol/L"}, "probability": 0.1, "becomes": 0.7}, "0.1 becomes 0.8, expected 0.7"),
        ({"given": {"labs.lactate": "5 mmol/L"}, "probability": 0.9, "becomes": 0.9}, ""),
        ({"given": {"labs.lactate": "3 mmol/L"}, "fires": False, "probability": 0.1, "becomes": 0.1}, ""),
        (
            {"given": {"labs.lactate": "3 mmol/L"}, "fires": False, "probability": 0.1, "becomes": 0.8},
            "0.1 becomes 0.1, expected 0.8",
        ),
    ],
)
def test_the_test_of_a_rule_is_run(test: dict[str, Any], failure: str) -> None:
    assert trial("labs.lactate > 4 mmol/L", FLOOR, **test) == failure


def test_an_example_may_speak_of_categories_cells_and_whole_inputs() -> None:
    assert trial('all(labs.sex is "male", study.age > 65)', FLOOR, given={"labs.sex": "male", "study.age": 66}) == ""
    assert trial("missing(labs)", FLOOR, given={"study.age": 66}) == ""
    assert trial("known(labs)", FLOOR, given={"labs.score": 6}) == ""
    assert trial("known(chest)", FLOOR, given={"chest": "present"}) == ""


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"labs.lactate": 5}, "no unit, labs.lactate is in mmol/L"),
        ({"labs.lactate": "5 mg/L"}, "cannot become mmol/L"),
        ({"labs.lactate": "high"}, "expected a number"),
        ({"labs.crp.last": "601 mg/L"}, "601 lies outside the range of labs.crp.last, 0 to 600"),
        ({"labs.sex": "man"}, "labs.sex has no category 'man'"),
        ({"labs.lactat": "5 mmol/L"}, "unknown column labs.lactat"),
    ],
)
def test_an_example_that_no_table_could_hold_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(RulesError) as caught:
        trial("labs.lactate > 4 mmol/L", FLOOR, given=given)
    assert message in str(caught.value)
    assert caught.value.faults[0].path == (0, "tests", 0, "given", next(iter(given)))


@pytest.mark.parametrize(
    ("when", "then", "words"),
    [
        (
            'all(labs.lactate >= 4 mmol/L, any(missing(labs.score), not(labs.sex is "male")))',
            {"floor": {"probability": 0.8}},
            "when labs.lactate is at least 4 mmol/L and (labs.score is missing or not labs.sex is male), "
            "the probability of sepsis becomes at least 0.8",
        ),
        ("labs.score between 1 and 2", {"reject": "labs"}, "when labs.score is between 1 and 2, the input labs is not used"),
        ('labs.sex is not "male"', {"flag": "x"}, "when labs.sex is not male, the study is flagged: x"),
        ("labs.score < 1", {"alert": "x"}, "when labs.score is below 1, the answer carries the alert: x"),
        (
            "known(labs)",
            {"penalty": {"class": "shock", "at_most": 0.1, "weight": 2}},
            "when labs is known, the training penalises the probability of shock above 0.1 (weight 2)",
        ),
        ("known(labs)", {"override": {"probability": 0}}, "when labs is known, the probability of sepsis becomes 0"),
        ("known(labs)", {"ceiling": {"probability": 0.1}}, "when labs is known, the probability of sepsis becomes at most 0.1"),
    ],
)
def test_a_rule_is_said_in_words(when: str, then: dict[str, Any], words: str) -> None:
    assert in_words(rule(when, **then), "sepsis") == words
