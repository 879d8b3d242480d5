"""The 25 checks of an audit, in the order in which a reviewer asks. One line a check.

Overlap of patients, series and images is one check, whose evidence names each of them; label leakage in text, table and
missingness are three, for each is a fault of its own with a repair of its own.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeAlias

from medmm.tables import Table

from .audited import Audited
from .chaptered import calibration, conformal_coverage, decision_curve, out_of_distribution, robustness, subgroups
from .decisions import operating_points
from .finding import CHECKED, Finding
from .honest import drift_reference, intervals_by_patient, record_complete, thresholds_from_validation
from .leaking import label_in_missingness, label_in_table, label_in_text, near_duplicates, overlap, time_order
from .memory import memorisation
from .rivals import beats_each_input, metadata_only
from .shortcut import shortcut
from .shuffled import label_shuffle
from .sites import site_and_scanner
from .use import every_input_is_used, missing_inputs

Check: TypeAlias = Callable[[Audited], Finding]

CHECKS: Table[Check] = Table(
    "check",
    {
        "overlap": overlap,
        "near_duplicates": near_duplicates,
        "time_order": time_order,
        "label_in_text": label_in_text,
        "label_in_table": label_in_table,
        "label_in_missingness": label_in_missingness,
        "shortcut": shortcut,
        "site_and_scanner": site_and_scanner,
        "metadata_only": metadata_only,
        "label_shuffle": label_shuffle,
        "intervals_by_patient": intervals_by_patient,
        "beats_each_input": beats_each_input,
        "thresholds_from_validation": thresholds_from_validation,
        "operating_points": operating_points,
        "calibration": calibration,
        "decision_curve": decision_curve,
        "subgroups": subgroups,
        "missing_inputs": missing_inputs,
        "every_input_is_used": every_input_is_used,
        "out_of_distribution": out_of_distribution,
        "conformal_coverage": conformal_coverage,
        "robustness": robustness,
        "drift_reference": drift_reference,
        "memorisation": memorisation,
        "record_complete": record_complete,
    },
)
assert len(CHECKS) == CHECKED, "the false alarm rate of an audit is shared by its checks"


def check_all(audited: Audited, waive: Mapping[str, str]) -> tuple[tuple[Finding, ...], tuple[str, ...]]:
    """Make every check.

    Args:
        audited: What there is to look at.
        waive: Check -> why its failure may pass.

    Returns:
        A finding a check, and the waivers that let nothing pass: of no check, or of one that does not fail.
    """
    findings = []
    for name, check in CHECKS.items():
        found = replace(check(audited), check=name)
        findings.append(found.waive(waive[name]) if found.verdict == "fail" and name in waive else found)
    acting = {one.check for one in findings if one.verdict == "waived"}
    return tuple(findings), tuple(sorted(set(waive) - acting))
