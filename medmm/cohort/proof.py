"""What a run can show for its split: who stands where, what was checked, what was found, and what was waived and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from medmm.cohort.leakage import Finding, LeakageSettings, waived
from medmm.cohort.persons import Persons
from medmm.cohort.split import Split, SplitSettings
from medmm.settings import Plain
from medmm.types import Array

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Proof:
    """That the test studies of a run are new to its model, as far as the checks can tell. It names nobody.

    Attributes:
        split: Of the studies in use.
        settings: By which they were shared out.
        classes: Names of the C columns of `target`.
        target: (S, C) of all studies, 0 or 1.
        persons: Who stands under several identifiers.
        findings: Of the leakage checks.
        leakage: What the run does about leaks.
        digest: Of the cohort.
    """

    split: Split
    settings: SplitSettings
    classes: Sequence[str]
    target: Array
    persons: Persons
    findings: Sequence[Finding]
    leakage: LeakageSettings
    digest: str

    def plain(self) -> Plain:
        """Give it as JSON can say it."""
        return {
            "cohort_digest": self.digest,
            "split": self.settings.model_dump(mode="json"),
            "parts": {part: self._part(part) for part in self.split.parts},
            "patients_on_two_sides": self.split.shared_patients,
            "persons_of_several_identifiers": {"persons": self.persons.count, "told_by": dict(self.persons.found)},
            "checks": self._rows(),
            "waived": waived(self.findings, self.leakage),
        }

    def table(self) -> pd.DataFrame:
        """Give a row a check."""
        import pandas as pd

        return pd.DataFrame(self._rows())

    def _part(self, part: str) -> Mapping[str, Plain]:
        rows = list(self.split[part])
        counts = np.nansum(self.target[rows], axis=0).astype(int).tolist()
        classes = dict(zip(self.classes, counts, strict=True))
        return {"patients": self.split.patients[part], "studies": len(rows), "studies_of_class": classes}

    def _rows(self) -> list[dict[str, Plain]]:
        return [
            {
                "check": one.check,
                "name": one.name,
                "class": one.class_name,
                "found": one.found,
                "verdict": one.verdict(self.leakage),
                "auroc": one.association and one.association.auroc,
                "at_least": one.association and one.association.low,
                "studies": one.association and one.association.studies,
                "patients": one.association and one.association.patients,
            }
            for one in self.findings
        ]
