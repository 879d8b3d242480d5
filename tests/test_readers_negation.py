"""Negation and doubt: sentences whose marks were worked out by hand, sentence ends, hostile text."""

import time

import numpy as np
import pytest

from medmm.readers.negation import AFTER, BEFORE, ENDS, PSEUDO, Kind, mark_negation, sentences

BY_HAND = [
    # sentence, what it denies, what it leaves open
    ("No fever.", ["fever"], []),
    ("She has fever and a dry cough.", [], []),
    ("Denies fever, chills or night sweats.", ["fever, chills or night sweats"], []),
    ("He denied chest pain but reports palpitations.", ["chest pain"], []),
    ("No evidence of pneumothorax but a small effusion on the left.", ["pneumothorax"], []),
    ("Without rash.", ["rash"], []),
    ("Cough without sputum or blood.", ["sputum or blood"], []),
    ("Lungs are clear of infiltrates.", ["infiltrates"], []),
    ("Urine negative for ketones.", ["ketones"], []),
    ("Absence of breath sounds on the left.", ["breath sounds on the left"], []),
    ("Neither wheeze nor stridor.", ["wheeze", "stridor"], []),
    ("The spleen is not enlarged.", ["enlarged"], []),
    ("There isn't any oedema.", ["oedema"], []),
    ("Fracture has been excluded.", ["Fracture"], []),
    ("Pulmonary embolism was ruled out.", ["Pulmonary embolism"], []),
    ("Abscess, fistula, and perforation were excluded.", ["Abscess, fistula, and perforation"], []),
    ("Fever for two days, blood culture negative.", ["blood culture"], []),
    ("A mass is not seen.", ["mass"], []),
    ("No effusion is seen on either side.", ["effusion"], []),
    # doubt
    ("Rule out appendicitis.", [], ["appendicitis"]),
    ("Possible early pneumonia.", [], ["early pneumonia"]),
    ("Pneumonia cannot be excluded.", [], ["Pneumonia"]),
    ("The scan cannot exclude a small bleed.", [], ["small bleed"]),
    ("This may represent scarring.", [], ["scarring"]),
    ("?PE", [], ["PE"]),
    ("Collapse ?cause", [], ["cause"]),
    ("Malignancy is unlikely.", [], ["Malignancy"]),
    ("Suspected sepsis due to cellulitis.", [], ["sepsis"]),
    ("Sepsis suspected.", [], ["Sepsis"]),
    ("Findings suspicious for metastasis, however the liver is spared.", [], ["metastasis"]),
    ("Return if fever develops.", [], ["fever"]),
    # both in one sentence
    ("No effusion, possible consolidation at the right base.", ["effusion"], ["consolidation at the right base"]),
    ("No collapse, infection cannot be excluded.", ["collapse"], ["infection"]),
    ("No fever although tuberculosis is likely.", ["fever"], ["tuberculosis"]),
    # what only looks like a negation
    ("No increase in the effusion.", [], []),
    ("No significant interval change in the left mass.", [], []),
    ("Not only fever and cough, a rash too.", [], []),
    ("Gram negative rods grew.", [], []),
    ("No doubt of appendicitis.", [], []),
    # two negations
    ("Breath sounds are not absent.", [], []),
    ("She did not deny alcohol.", [], []),
    ("Not without risk.", [], []),
    ("The effusion has not resolved.", [], []),
    # sentence ends
    ("No nodule above 2.5 mm. Effusion on the left.", ["nodule above 2.5 mm"], []),
    ("No fever. Cough.", ["fever"], []),
    ("Seen by Dr. Grey, no rash.", ["rash"], []),
    ("No rash of St. Anthony. Cough.", ["rash of St. Anthony"], []),
    ("No oedema e.g. of the ankles. Rash.", ["oedema e.g. of the ankles"], []),
    ("No evidence of\npneumonia.\nEffusion present.", ["pneumonia"], []),
    ("No fever\nCough\nRash", ["fever"], []),
    ("- No fever\n- Cough", ["fever"], []),
    ("no fever; cough", ["fever"], []),
    ("No fever.Cough.", ["fever"], []),
    ("May 2020: cough. Seen in May 2020.", [], ["2020"]),  # at its start the month cannot be told from the verb
]


def marked(text: str, kind: Kind) -> list[str]:
    return [text[mark.start : mark.end] for mark in mark_negation(text) if mark.kind is kind]


@pytest.mark.parametrize(("text", "negated", "uncertain"), BY_HAND, ids=[text for text, _, _ in BY_HAND])
def test_a_sentence_is_marked_as_by_hand(text: str, negated: list[str], uncertain: list[str]) -> None:
    assert marked(text, Kind.NEGATED) == negated
    assert marked(text, Kind.UNCERTAIN) == uncertain


def test_every_trigger_acts_and_every_pseudo_trigger_does_not() -> None:
    for kind in Kind:
        for trigger in BEFORE[kind].split("|"):
            assert "zzz" in " ".join(marked(f"{trigger} zzz", kind)), trigger
        for trigger in AFTER[kind].split("|"):
            assert marked(f"zzz {trigger}", kind) == ["zzz"], trigger
    for phrase in PSEUDO.split("|"):
        assert mark_negation(f"{phrase} zzz") == [], phrase
    for word in ENDS.split("|"):
        assert "zzz" not in " ".join(marked(f"no yyy {word} zzz", Kind.NEGATED)), word


def test_no_phrase_stands_in_two_tables() -> None:
    tables = [*BEFORE.values(), PSEUDO, ENDS]
    phrases = [phrase for table in tables for phrase in table.split("|")]
    assert len(phrases) == len(set(phrases))
    phrases = [phrase for table in [*AFTER.values(), PSEUDO, ENDS] for phrase in table.split("|")]
    assert len(phrases) == len(set(phrases))


@pytest.mark.parametrize("seed", range(200))
def test_sentences_hold_all_text_and_marks_never_overlap(seed: int) -> None:
    rng = np.random.default_rng(seed)
    pieces = [
        "no ",
        "fever ",
        ". ",
        "\n",
        ", ",
        "excluded",
        "possible ",
        "but ",
        "Dr. ",
        "2.5 ",
        "? ",
        "?",
        " and ",
        "été ",
        "\x1e",
        ":",
    ]
    text = "".join(rng.choice(pieces, int(rng.integers(0, 40))))
    ends = list(sentences(text))
    assert "".join(text[start:end] for start, end in ends) == text
    place = 0
    for mark in mark_negation(text):
        assert place <= mark.start < mark.end <= len(text)
        place = mark.end


@pytest.mark.parametrize(
    "piece",
    [
        "no ",
        "? ",
        "?a",
        ".",
        ". ",
        "\n",
        "a,",
        "a, and ",
        "excluded a, ",
        "no evidence ",
        "A.B",
        "-",
        "a-",
        "1.1",
        "'",
        "no a excluded ",
    ],
)
def test_a_hostile_text_takes_linear_time(piece: str) -> None:
    text = piece * ((1 << 20) // len(piece)) + "excluded"
    start = time.process_time()
    mark_negation(text)
    assert time.process_time() - start < 30  # quadratic would take hours
