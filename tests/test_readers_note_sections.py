"""Sections of notes: headings as clinicians write them, nothing lost, no time lost on hostile text."""

import time

import numpy as np
import pytest

from medmm.readers.note_sections import (
    NOTE_END,
    SECTIONS,
    STATES_DIAGNOSIS,
    TITLES,
    join_notes,
    keep_sections,
    split_sections,
)


def names(note: str) -> list[str]:
    return [section.name for section in split_sections(note)]


@pytest.mark.parametrize(
    ("note", "found"),
    [
        ("Cough for two days.", ["other"]),
        ("Clinical history: cough. Findings: clear lungs.\nIMPRESSION\nNormal", ["history", "findings", "impression"]),
        ("Seen today. HPI: fever. PMH: asthma. Conclusion: viral", ["other", "history", "history", "impression"]),
        ("Assessment and plan: antibiotics", ["impression"]),
        ("Plan & differential diagnosis: wait", ["plan"]),
        ("History - smoker\nImpression \u2013 normal", ["history", "impression"]),
        ("FINDINGS The lungs are clear.\nOPINION: normal", ["findings", "impression"]),
        ("1. Findings: one\n2) **Impression:** two\n## Plan: three", ["findings", "impression", "plan"]),
        ("Findings of the CT: one", ["findings"]),
        ("CT chest findings (final) : one", ["findings"]),
        ("Discharge diagnosis: one", ["diagnosis"]),
        ("Befund: frei.\nBeurteilung: unauffällig", ["findings", "impression"]),
        ("cough for a week Impression: cold Plan: rest", ["other", "impression", "plan"]),  # its line breaks were lost
        ("History: cough. no fever today Plan: rest", ["history", "plan"]),
        ("findings: clear\r\nimpression: well", ["findings", "impression"]),
        ("Impression\uff1awell", ["impression"]),
        # what is no heading
        ("Past medical history of asthma. The diagnosis is open.", ["other"]),
        ("Seen at 10:30. Temp: 38.2, ratio 1:2.", ["other"]),
        ("PATIENT WITH HISTORY OF ASTHMA AND WHEEZE.", ["other"]),
        # a strange title frees nothing
        ("Impression: pneumonia.\nNota bene: also effusion.", ["impression"]),
    ],
)
def test_headings_are_found_as_clinicians_write_them(note: str, found: list[str]) -> None:
    assert names(note) == found


def test_a_heading_takes_no_words_of_the_section_before_it() -> None:
    cough, rest = split_sections("History: cough. no fever today Plan: rest")
    assert cough.text == " cough. no fever today "
    assert rest.heading == "Plan:"


def test_every_title_before_a_colon_is_a_heading_of_its_section() -> None:
    for name, titles in TITLES.items():
        for title in titles.split("|"):
            for written in (title, title.upper(), title.capitalize()):
                assert names(f"{written}: words") == [name], written


def test_a_section_that_states_the_diagnosis_is_found_wherever_its_heading_stands() -> None:
    for before in ("", "Cough. ", "Cough.\n", "Cough\n\n", "cough ", "History: cough. ", "- ", "3. ", "**"):
        for title in ("Impression", "IMPRESSION", "Conclusion", "Final diagnosis", "Assessment", "Findings and impression"):
            section = split_sections(f"{before}{title}: secret")[-1]
            assert section.name in STATES_DIAGNOSIS, (before, title)
            assert "secret" in section.text


def random_note(rng: np.random.Generator) -> str:
    pieces = [
        "History",
        "IMPRESSION",
        "finding",
        ":",
        ". ",
        "\n",
        " ",
        "cough",
        "- ",
        "1.",
        "(",
        ")",
        "*",
        "\r\n",
        "é",
        ";",
        "A/P",
        NOTE_END,
    ]
    return "".join(rng.choice(pieces, int(rng.integers(0, 40))))


@pytest.mark.parametrize("seed", range(300))
def test_headings_and_texts_joined_are_the_note(seed: int) -> None:
    note = random_note(np.random.default_rng(seed))
    sections = split_sections(note)
    assert "".join(section.heading + section.text for section in sections) == note
    assert {section.name for section in sections} <= set(SECTIONS)


def test_only_the_named_sections_stay() -> None:
    note = "Dr. Who asks.\nHistory: cough. Impression: pneumonia. Medication: none"
    assert keep_sections(note, ("other", "history", "medication")) == "Dr. Who asks.\nHistory: cough. Medication: none"
    assert keep_sections(note, ("history",)) == "History: cough."
    assert keep_sections(note, SECTIONS) == note
    assert keep_sections(note, ("findings",)) == ""


def test_headings_alone_are_no_note() -> None:
    assert keep_sections("History:\nImpression: pneumonia\nFindings: **", ("history", "findings")) == ""


def test_a_section_ends_with_its_note() -> None:
    joined = join_notes(["cough", "Impression: cold.", "fever"])
    assert joined == f"cough\nImpression: cold.\n{NOTE_END}fever"
    assert names(joined) == ["other", "impression", "other"]
    assert join_notes(["first", "second"]) == "first\nsecond"


@pytest.mark.parametrize(
    "piece",
    [
        ":",
        "a:",
        "Impression:",
        "Impression - ",
        "IMPRESSION ",
        "A. ",
        " ",
        "*",
        "\n",
        "1) ",
        "(",
        "(a",
        "a-",
        "a/",
        ". :",
        "of ",
        "|",
        NOTE_END,
        ". Impression:",
    ],
)
@pytest.mark.parametrize("before", ["", "*" * (1 << 20)])
def test_a_hostile_note_takes_linear_time(before: str, piece: str) -> None:
    def seconds(size: int) -> float:
        note = before + ". " + piece * (size // len(piece)) + ":"
        start = time.process_time()
        split_sections(note)
        return time.process_time() - start

    assert seconds(1 << 20) < 20  # quadratic would take hours
    assert seconds(1 << 19) < 10
