"""What tells of the label by itself is found; what does not passes."""

from dataclasses import replace

import numpy as np
import pytest

from medmm.cohort.association import of_features, of_number
from medmm.cohort.leakage import LeakageSettings, refuse_leaks
from medmm.cohort.note_words import names
from medmm.cohort.telltales import Sample, telltales
from medmm.errors import DataError


def sample(studies: int = 120, seed: int = 0) -> Sample:
    """Give studies of which nothing tells, one a patient."""
    rng = np.random.default_rng(seed)
    label = (np.arange(studies) % 2).astype(float)
    return Sample(
        patient=np.arange(studies),
        label=label[:, None],
        classes=("pneumonia",),
        columns={
            "labs.crp": [f"{value:.1f}" for value in rng.normal(50, 10, studies)],
            "labs.sex": [str(one) for one in rng.choice(["F", "M", ""], studies)],
            "labs.ward": [str(one) for one in rng.choice(["east wing", "west wing"], studies)],
        },
        notes={"history": [str(one) for one in rng.choice(["cough", "Pneumonia suspected", "fever"], studies)]},
        groups={"site": [str(one) for one in rng.choice(list("ABC"), studies)]},
        present={"chest": rng.random(studies) > 0.1, "labs": np.ones(studies, bool)},
        scanners={"scanner": [str(one) for one in rng.choice(["Maker Fast", "Maker Slow", ""], studies)]},
        sizes={"size": np.where(rng.random((studies, 1)) < 0.1, np.nan, rng.choice([1000.0, 1500.0], (studies, 3)))},
        corners={"corner": rng.random((studies, 12))},
    )


def leaking(one: Sample) -> set[str]:
    return {told.name for told in telltales(one) if told.leaks}


def planted(clean: Sample, what: str) -> Sample:
    positive = clean.label[:, 0] == 1
    said = ["yes" if one else "no" for one in positive]
    return {
        "labs.crp": replace(
            clean, columns={**clean.columns, "labs.crp": [f"{50 + 90 * one + i % 7}" for i, one in enumerate(positive)]}
        ),
        "labs.low": replace(
            clean, columns={**clean.columns, "labs.low": [f"{90 - 80 * one + i % 7}" for i, one in enumerate(positive)]}
        ),
        "labs.file": replace(clean, columns={**clean.columns, "labs.file": [f"{w}/scan-{i}.png" for i, w in enumerate(said)]}),
        "site": replace(clean, groups={"site": said}),
        "missing": replace(clean, present={**clean.present, "chest": positive}),
        "scanner": replace(clean, scanners={"scanner": [f"Maker {'Fast' if one else 'Slow'}" for one in positive]}),
        "size": replace(clean, sizes={"size": np.array([[1000 + 500 * one, 1000, 1] for one in positive], float)}),
        "corner": replace(clean, corners={"corner": np.stack([positive * 1.0, np.zeros(len(positive))], axis=1)}),
        "history": replace(clean, notes={"history": ["PNEU-MONIA?" if one else "cough" for one in positive]}),
    }[what]


@pytest.mark.parametrize("seed", range(20))
def test_a_clean_cohort_passes(seed: int) -> None:
    assert leaking(sample(seed=seed)) == set()


@pytest.mark.parametrize("what", ["labs.crp", "labs.low", "labs.file", "site", "missing", "scanner", "size", "corner"])
def test_what_is_planted_is_named_and_nothing_else(what: str) -> None:
    named = {"scanner": "scanner.scanner", "size": "size.size", "corner": "corner.corners"}
    assert leaking(planted(sample(), what)) == {named.get(what, what)}


def test_notes_that_name_the_disease_are_told_by_name_and_by_their_best_word() -> None:
    assert leaking(planted(sample(), "history")) == {"history.own_words", "history.all_words", "history.cough"}


def test_a_name_in_few_notes_is_a_leak_where_it_stands_on_one_side_only() -> None:
    clean = replace(sample(), notes={"history": ["cough, fever"] * 120})
    one_sided = ["SARS-CoV-2, cough" if i in {1, 3, 5, 7, 9, 11, 13} else "cough, fever" for i in range(120)]
    both_sided = ["SARS-CoV-2, cough" if i < 7 else "cough, fever" for i in range(120)]
    for notes, synonyms, found in (
        (one_sided, {"pneumonia": ["sars-cov-2"]}, {"history.own_words"}),
        (one_sided, {}, set()),  # nobody said that it names the disease
        (both_sided, {"pneumonia": ["sars-cov-2"]}, set()),
    ):
        assert leaking(replace(clean, notes={"history": notes}, synonyms=synonyms)) == found


@pytest.mark.parametrize("seed", range(20))
def test_the_best_of_many_words_that_tell_nothing_is_no_leak(seed: int) -> None:
    rng = np.random.default_rng(seed)
    notes = [" ".join(f"word{chr(97 + one // 26)}{chr(97 + one % 26)}" for one in rng.choice(400, 80)) for _ in range(60)]
    few = replace(sample(60, seed), notes={"history": notes})
    assert leaking(few) == set()


def test_rare_words_are_not_said_for_they_may_be_names() -> None:
    notes = ["seen by dr okonkwo" if i in {1, 3, 5, 7, 9, 11, 13, 15, 17} else "seen today" for i in range(120)]
    names = {told.name for told in telltales(replace(sample(), notes={"history": notes}))}
    assert not any("okonkwo" in name for name in names)


def test_a_leak_ends_the_run_unless_it_is_waived_by_name() -> None:
    found = telltales(planted(sample(), "labs.file"))
    with pytest.raises(DataError, match=r"labs\.file \(column: AUROC 1\.00.*leakage\.waive"):
        refuse_leaks(found, LeakageSettings())
    with pytest.raises(DataError, match=r"labs\.file"):
        refuse_leaks(found, LeakageSettings(waive={"labs.crp": "another"}))
    refuse_leaks(found, LeakageSettings(waive={"labs.file": "it is known before"}))


def test_too_few_patients_tell_nothing() -> None:
    label = np.repeat([0.0, 1.0], 30)
    few = np.repeat(np.arange(12), 5)  # six of either side
    assert of_number(label, label, few) is None
    assert of_features(label[:, None], label, few) is None


def test_a_value_that_repeats_within_patients_only_tells_nothing() -> None:
    rng = np.random.default_rng(0)
    patient = np.repeat(np.arange(60), 4)
    label = rng.integers(0, 2, 60)[patient].astype(float)
    found = of_features(np.eye(60)[patient], label, patient)  # who it is
    assert found is not None
    assert found.auroc < 0.6


@pytest.mark.parametrize(
    ("note", "class_name", "named"),
    [
        ("COVID-19 suspected", "covid19", True),
        ("bronchopneumonia", "pneumonia", True),
        ("pneu-\nmonia", "pneumonia", True),
        ("left ventricular hypertrophy", "left_ventricular_hypertrophy", True),
        ("Thomas said so", "mass", False),
        ("see dema", "edema", False),
        ("CT shows PE", "PE", True),
        ("open", "PE", False),
        ("known TB.", "TB", True),
        ("grade 1", "1", False),
    ],
)
def test_a_class_is_named_by_its_word(note: str, class_name: str, named: bool) -> None:
    assert names(note, class_name) == named


def test_a_class_without_a_name_is_not_judged_by_it() -> None:
    one = replace(sample(), classes=("1",))
    (found,) = [told for told in telltales(one) if told.check == "own words"]
    assert (found.judged, found.leaks, found.verdict(LeakageSettings())) == (False, False, "not judged")


@pytest.mark.parametrize("codes", [("2", "1", "3"), ("100", "90", "110")])
def test_a_code_that_lies_between_those_of_the_others_is_found(codes: tuple[str, ...]) -> None:
    clean = sample(400)
    told = [codes[0] if one else codes[1 + i // 2 % 2] for i, one in enumerate(clean.label[:, 0])]
    assert leaking(replace(clean, columns={"labs.code": told})) == {"labs.code"}


def test_a_patient_of_many_studies_weighs_no_more_than_another() -> None:
    rng = np.random.default_rng(0)
    patient = np.concatenate([np.arange(60), np.zeros(200, int)])
    label = (patient % 2 == 0).astype(float)
    value = rng.normal(size=60)
    found = of_number(np.concatenate([value, np.full(200, 9.0)]), label, patient)
    alone = of_number(np.concatenate([[9.0], value[1:]]), label[:60], patient[:60])
    assert found is not None
    assert alone is not None
    assert found.auroc == pytest.approx(alone.auroc, abs=0.03)
    assert found.low < 0.6


def test_what_too_few_patients_have_is_said_to_be_not_judged() -> None:
    few = ["5" if i < 15 else "" for i in range(120)]
    (found,) = [told for told in telltales(replace(sample(), columns={"labs.rare": few})) if told.check == "column"]
    assert (found.judged, found.leaks) == (False, False)


def test_a_size_between_those_of_the_others_is_found() -> None:
    clean = sample()
    sides = [1000 if one else 900 + 200 * (i // 2 % 2) for i, one in enumerate(clean.label[:, 0])]
    sizes = np.array([[side, 1000, 1] for side in sides], float)
    assert leaking(replace(clean, sizes={"size": sizes})) == {"size.size"}


def test_own_words_are_held_against_all_classes_together() -> None:
    # By hand (Fisher, one-sided): 5 of 60 named with the class and none of 60 without gives p = 0.029.
    notes = ["pneumonia, cough" if i in {1, 3, 5, 7, 9} else "cough, fever" for i in range(120)]
    one = replace(sample(), notes={"history": notes})
    assert leaking(one) == {"history.own_words"}
    two = replace(one, classes=("pneumonia", "fracture"), label=np.repeat(one.label, 2, axis=1))
    assert leaking(two) == set()
