"""What `medmm inspect` says of the cohort that a run file makes: who is in it, Table 1, and what the leakage checks find."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from medmm.cohort.flow import Flow
from medmm.cohort.leakage import Finding
from medmm.cohort.studies import Sources
from medmm.cohort.table_one import TableOne
from medmm.config import RunConfig
from medmm.errors import DataError

from .characteristics import TEST, flow_of, page_of, table_one
from .cohort import Intake, leaks, share_out
from .sections import Section

MOST_CLASSES = 3
"""Of a label that Table 1 shows on a terminal; the page shows all."""


@dataclass(frozen=True)
class CohortDescribed:
    """A cohort for the eye.

    Attributes:
        sections: By name, for the terminal and for JSON.
        page: As HTML.
    """

    sections: Mapping[str, Section]
    page: str


def describe_cohort(config: RunConfig, sources: Sources, intake: Intake) -> CohortDescribed:
    """Split as the run file says, and tell who is where and what the leakage checks find; none looks at test labels."""
    studies, left_out = intake.studies, intake.left_out
    unsplit = ""
    findings: list[Finding] = []
    try:
        sides, of_no_part = share_out(config, studies, left_out)
    except DataError as reason:
        unsplit, of_no_part = str(reason), {}
        sides = {i: "" for i in range(len(studies)) if i not in left_out}
    else:
        findings = leaks(config, sources, intake, sides)
    flow = flow_of(studies, {**left_out, **of_no_part}, sides)
    table = table_one(config, studies, sides)
    page = page_of(config, table, flow, intake.persons, findings)
    looked = "" if intake.images else "; images are compared with --pixels"
    columns = ("check", "name", "class", "found", "verdict")
    persons = list(intake.persons.found.items())
    sections = {
        "persons": Section("Identifiers of a person who has several", ("told by", "identifiers"), persons),
        "flow": Section("Who is in, and who is left out", ("", "patients", "studies"), _steps(flow)),
        "table1": _table_one(table),
        "leaks": Section(
            f"Leakage checks of the split, the most telling of each{looked}",
            columns,
            _most_telling(findings, config) if findings else [("none", "", "", unsplit, "")],
        ),
        "each_leak": Section("All leakage checks", columns, [_finding(one, config) for one in findings], detail=True),
    }
    return CohortDescribed(sections, page)


def _steps(flow: Flow) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = []
    for step in flow.steps:
        rows.append((step.there.name, step.there.patients, step.there.studies))
        rows += [(f"  left out: {one.name}", one.patients, one.studies) for one in step.left]
    return [*rows, *((f"  {one.name}", one.patients, one.studies) for one in flow.parts)]


def _most_telling(findings: Sequence[Finding], config: RunConfig) -> list[tuple[object, ...]]:
    """Give what leaks, and of each other check the first, which is the most telling, with how many more there are."""
    rows = [_finding(one, config) for one in findings if one.leaks]
    for check in dict.fromkeys(one.check for one in findings if not one.leaks):
        first, *others = (one for one in findings if one.check == check and not one.leaks)
        more = f" and {len(others)} more" if others else ""
        rows.append((check, f"{first.name}{more}", *_finding(first, config)[2:]))
    return rows


def _finding(one: Finding, config: RunConfig) -> tuple[object, ...]:
    return (one.check, one.name, one.class_name, one.found, one.verdict(config.leakage))


def _table_one(table: TableOne) -> Section:
    """Give Table 1 without what a terminal has no room for: validation, which group's cells are missing, many classes."""
    classes = [name for name in table.contrasts if name != TEST]
    hidden = {"all", "validation", *(classes if len(classes) > MOST_CLASSES else ())}
    groups = [group for group in table.groups if group not in hidden] or ["all"]
    contrasts = [name for name in table.contrasts if name not in hidden]
    rows = []
    for row in (row for row in table.rows if row.kind != "presence"):  # the inputs have a table of their own
        name = f"{row.name}: {row.level}" if row.name and row.level else row.name or f"  {row.level}"
        gaps = (row.differences.get(one) for one in contrasts)
        differences = ("" if gap is None or gap != gap else f"{gap:.2f}".replace("inf", "∞") for gap in gaps)  # noqa: PLR0124
        rows.append((name, row.missing.get("all", ""), *(row.cells[group] for group in groups), *differences))
    return Section("Table 1", ("", "missing", *groups, *(f"± {one}" for one in contrasts)), rows)
