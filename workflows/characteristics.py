"""Who is in a run, for the eye: Table 1, the flow of patients and studies, and the page on which both stand."""

from collections.abc import Mapping, Sequence

import numpy as np

from medmm.cohort.flow import Flow, make_flow
from medmm.cohort.leakage import Finding, waived
from medmm.cohort.manifest import patient_numbers
from medmm.cohort.persons import Persons
from medmm.cohort.split import PARTS
from medmm.cohort.table_one import Contrast, TableOne, Variable, make_table_one
from medmm.config import RunConfig
from medmm.evaluation.canvas import svg_of
from medmm.evaluation.flowchart import flowchart
from medmm.inputs.tabular import TabularSettings
from medmm.preview.cohort_page import cohort_page
from medmm.preview.page import Grid
from medmm.types import Array, Study

from .leaks import cells_of

TEST = "test"
NOTE = (
    "Studies are counted. Numbers: median [first quartile, third quartile]. Categories: count (percent of the known); levels "
    "of fewer than five patients, and those after the ten most frequent, stand together. Groups of the label hold studies of "
    "training and validation only. Differences are standardised: of test to training studies, and of each class to the "
    "others; 0.1 is small, from 0.2 on they are bold."
)


def table_one(config: RunConfig, studies: Sequence[Study], sides: Mapping[int, str]) -> TableOne:
    """Describe the studies of a split by part and label; the labels of test studies are not looked at.

    Args:
        config: The run.
        studies: All of them, gathered.
        sides: Index of a study -> its part; where there is no split, "" of all that can be used.
    """
    used = sorted(sides)
    some = [studies[i] for i in used]
    side = np.array([sides[i] for i in used])
    groups = {"all": np.ones(len(some), bool), **{part: side == part for part in PARTS if part in side}}
    contrasts = [Contrast(TEST, groups["test"], groups["train"])] if {"test", "train"} <= set(groups) else []
    for name, having, others in _classes(config, some, side):
        groups |= {f"is {name}": having} | ({f"not {name}": others} if len(config.target.mark_names) == 1 else {})
        contrasts.append(Contrast(f"is {name}", having, others))
    return make_table_one(_variables(config, some), groups, contrasts, np.array(patient_numbers(some)))


def flow_of(studies: Sequence[Study], left_out: Mapping[int, str], sides: Mapping[int, str]) -> Flow:
    """Count who goes how far."""
    parts = {part: [i for i, side in sides.items() if side == part] for part in PARTS}
    return make_flow(studies, left_out, {part: rows for part, rows in parts.items() if rows})


def page_of(
    config: RunConfig, table: TableOne, flow: Flow, persons: Persons, findings: Sequence[Finding], digest: str = ""
) -> str:
    """Give the page."""
    checks = [(one.check, one.name, one.class_name, one.found, one.verdict(config.leakage)) for one in findings]
    identifiers = [(what, count) for what, count in persons.found.items()]
    acting = waived(findings, config.leakage)
    waivers = [(name, why, "" if name in acting else "lets nothing pass") for name, why in config.leakage.waive.items()]
    grids = [
        Grid("Leakage checks", _words(findings, config), ("check", "name", "class", "found", "verdict"), checks),
        Grid("Waived", "" if waivers else "Nothing is waived.", ("what", "why", ""), waivers),
        Grid(
            "Persons",
            _told_of(persons, config),
            ("told by", "identifiers"),
            identifiers,
        ),
    ]
    settings = config.split.model_dump(mode="json", exclude_defaults=True, exclude={"by", "fractions"})
    facts = f"Split by {config.split.by}" + "".join(f", {name} {value}" for name, value in settings.items())
    known = f". Digest of the cohort: {digest}" if digest else ""
    return cohort_page(f"Cohort of {config.name}", facts + known, svg_of(flowchart(flow)), table, NOTE, grids)


def _words(findings: Sequence[Finding], config: RunConfig) -> str:
    leaks = [one for one in findings if one.leaks]
    passing = sum(one.verdict(config.leakage) == "waived" for one in leaks)
    found = f"{len(leaks)} found a leak, of which {passing} are waived" if leaks else "none found a leak"
    unjudged = sum(not one.judged for one in findings)
    return f"{len(findings)} checks, {found}" + (f"; {unjudged} could not judge." if unjudged else ".")


def _told_of(persons: Persons, config: RunConfig) -> str:
    if not persons.count:
        return "Nobody was found under several identifiers."
    treated = "taken for one patient each" if config.cohort.same_person == "join" else "only reported"
    return f"{persons.count} persons were found under several identifiers, which are {treated}."


def _classes(config: RunConfig, studies: Sequence[Study], side: Array) -> list[tuple[str, Array, Array]]:
    """Give for each class who of the learning studies has it, and who has not."""
    learning = side != "test"
    names = config.target.mark_names
    if not studies:
        return [(name, learning, learning) for name in names]
    label = config.target.marks(np.array([study.label for study in studies], dtype=np.float64))  # (S, C)
    return [(name, learning & (label[:, column] == 1), learning & (label[:, column] == 0)) for column, name in enumerate(names)]


def _variables(config: RunConfig, studies: Sequence[Study]) -> list[Variable]:
    found = [Variable(name, [study.groups[name] for study in studies], "category") for name in config.cohort.subgroups]
    for name, columns in cells_of(config, studies).items():
        settings = config.inputs[name]
        assert isinstance(settings, TabularSettings), "only these have cells"
        for column, cells in columns.items():
            numeric = settings.numeric.get(column) or settings.numeric.get(column.rpartition(".")[0])
            if column in config.cohort.subgroups and numeric is None:
                continue
            unit = f", {numeric.unit}" if numeric is not None and numeric.unit and column in settings.numeric else ""
            found.append(Variable(f"{name}.{column}{unit}", cells, "category" if numeric is None else "number"))
    has = {name: ["x" if name in study.evidence else "" for study in studies] for name in config.inputs}
    return [*found, *(Variable(f"with {name}", marks, "presence") for name, marks in has.items())]
