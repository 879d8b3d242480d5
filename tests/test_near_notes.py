"""A copied note is known again with a word or two changed; short notes, templates and different notes are no copies."""

import numpy as np
import pytest

from medmm.cohort.near_notes import near_notes

WORDS = [f"word{number}" for number in range(400)]
STUDIES = 40
SIDES = np.arange(STUDIES) % 2


def written(seed: int, length: int = 50) -> list[str]:
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, length)) for _ in range(STUDIES)]


def changed(note: str, *places: int) -> str:
    return " ".join("changed" if place in places else word for place, word in enumerate(note.split()))


def found(notes: list[str], patients: list[object] | None = None) -> list[tuple[int, int]]:
    return list(near_notes(notes, patients or list(range(STUDIES)), SIDES))


@pytest.mark.parametrize("seed", range(5))
def test_different_notes_are_no_copies(seed: int) -> None:
    assert found(written(seed)) == []


def test_a_copy_is_known_with_some_words_changed() -> None:
    notes = written(0)
    notes[11] = notes[2].upper().replace(" ", ",\n")
    notes[13] = changed(notes[4], 20)
    notes[15] = changed(notes[6], 10, 40)
    # By hand: of 48 shingles a changed word touches 3, and 3 new ones come: 45 / 51 = 0.88, 42 / 54 = 0.78, 39 / 57 = 0.68.
    notes[17] = changed(notes[8], 10, 25, 40)
    notes[12] = notes[10]  # on one side
    assert found(notes) == [(2, 11), (4, 13), (6, 15)]


def test_short_notes_are_alike_by_chance() -> None:
    notes = written(1, length=21)  # 19 shingles
    notes[1] = notes[0]
    assert found(notes) == []
    longer = written(1, length=22)
    longer[1] = longer[0]
    assert found(longer) == [(0, 1)]


def test_what_many_patients_have_is_a_template() -> None:
    notes = written(2)
    for place in range(5):
        notes[place] = notes[0]
    assert found(notes) == []
    assert (
        len(found(notes, [min(place, 3) if place < 5 else place for place in range(STUDIES)])) == 6
    )  # 5 studies of 4 patients
    for place in range(5):  # no two of them are the same
        notes[place] = changed(notes[0], 8 * place)
    assert found(notes) == []


def test_a_study_of_no_side_and_an_absent_note_are_not_looked_at() -> None:
    notes = written(3)
    notes[1] = notes[0]
    notes[3] = notes[2]
    notes[4] = notes[5] = ""
    sides = SIDES.copy()
    sides[3] = -1
    assert list(near_notes(notes, list(range(STUDIES)), sides)) == [(0, 1)]
    assert list(near_notes([], [], np.array([]))) == []
