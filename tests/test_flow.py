"""Who goes how far is counted by hand, patients once."""

from medmm.cohort.flow import Count, Flow, Step, make_flow
from medmm.types import Study

PATIENTS = "aabbcdefgh"
STUDIES = [Study(row, patient, f"s{row}") for row, patient in enumerate(PATIENTS, 1)]


def test_who_goes_how_far_is_counted_by_hand() -> None:
    left_out = {0: "E_GAP", 2: "E_GAP", 3: "E_TRUNCATED", 4: "no label", 5: "no input", 6: "other period"}
    flow = make_flow(STUDIES, left_out, {"train": [1, 7], "validation": [8], "test": [9]})
    assert flow == Flow(
        (
            # Patient a keeps its second study; patient b loses both, one for each reason.
            Step(Count("in the studies table", 8, 10), (Count("E_GAP", 1, 2), Count("E_TRUNCATED", 1, 1))),
            Step(Count("that can be read", 7, 7), (Count("no label", 1, 1),)),
            Step(Count("with a label", 6, 6), (Count("no input", 1, 1),)),
            Step(Count("with an input", 5, 5), (Count("other period", 1, 1),)),
            Step(Count("in use", 4, 4), ()),
        ),
        (Count("train", 2, 2), Count("validation", 1, 1), Count("test", 1, 1)),
    )
    table = flow.table()
    assert table["studies"].tolist() == [10, 2, 1, 7, 1, 6, 1, 5, 1, 4, 2, 1, 1]
    assert table["left_out"].tolist()[:3] == ["", "E_GAP", "E_TRUNCATED"]
    assert table["step"].tolist()[-3:] == ["part: train", "part: validation", "part: test"]


def test_nobody_is_left_out() -> None:
    assert make_flow(STUDIES, {}, {}) == Flow((Step(Count("in the studies table", 8, 10), ()),), ())


def test_every_study_is_counted_once() -> None:
    left_out = dict(enumerate(["E_GAP", "no part", "no label", "E_GAP", "no input"]))
    flow = make_flow(STUDIES, left_out, {"train": range(5, 10)})
    assert sum(one.studies for step in flow.steps for one in step.left) + flow.parts[0].studies == len(STUDIES)
    assert flow.steps[-1].there.studies == flow.parts[0].studies
