"""What an audit looks at: a model, the evidence about it, and what the leakage checks found."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from medmm.cohort.association import Association
from medmm.cohort.headers import HEADERS
from medmm.cohort.leakage import Finding as Leak
from medmm.cohort.studies import Sources
from medmm.config import RunConfig
from medmm.evaluation.chapter import Chapter
from medmm.evaluation.intervals import Estimate, interval
from medmm.evaluation.yardstick import YARDSTICKS
from medmm.settings import Plain
from medmm.types import Scores

from ..cohort import leaks, take_in
from ..screen import Screen
from ..subject import Said, Subject


@dataclass(frozen=True)
class Audited:
    """All that a check may ask.

    Attributes:
        subject: The model and the studies on which it is judged.
        chapters: Name -> part of the evidence.
        leaks: What the leakage checks found: of this cohort where the model was trained on it, else what its training recorded.
        made_on: Image input -> (S,) maker and model of the device of each of all studies, "" where not known.
    """

    subject: Subject
    chapters: Mapping[str, Chapter] = field(default_factory=dict)
    leaks: tuple[Leak, ...] = ()
    made_on: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def measures(self, chapter: str, names: str) -> dict[str, Estimate]:
        """Give the numbers of a chapter by a regular expression that their whole name fits; none where there is no chapter."""
        found = self.chapters[chapter].measures if chapter in self.chapters else {}
        return {name: one for name, one in found.items() if re.fullmatch(names, name)}

    @property
    def learning(self) -> Said | None:
        """What the model says of its training and validation studies, one after the other; None on another cohort."""
        parts = [self.subject.parts[part] for part in ("train", "validation") if part in self.subject.parts]
        return joined(parts) if parts else None


def joined(parts: Sequence[Said]) -> Said:
    """Put what a model says of several parts one after the other, for all inputs only."""
    scores = [one.scores for one in parts]
    whole = parts[0].scores
    groups = {name: np.concatenate([one.groups[name] for one in scores]) for name in whole.groups}
    together = replace(
        whole,
        predicted=np.concatenate([one.predicted for one in scores]),
        target=np.concatenate([one.target for one in scores]),
        patient=np.concatenate([one.patient for one in scores]),
        groups=groups,
    )
    return Said(
        rows=np.concatenate([one.rows for one in parts]),
        scores=together,
        only={},
        logits=np.concatenate([one.logits for one in parts]),
        joint=np.concatenate([one.joint for one in parts]),
        pooled={name: np.concatenate([one.pooled[name] for one in parts]) for name in parts[0].pooled},
        present=np.concatenate([one.present for one in parts]),
    )


def gather(subject: Subject, chapters: Sequence[Chapter], screen: Screen) -> Audited:
    """Look for leaks, and put beside each other what the checks need."""
    config, package = subject.config, subject.package
    named = {one.name: one for one in chapters}
    screen.say("looking for leaks ...")
    sources = Sources.open(config.cohort, memory=config.folder / HEADERS)
    images = [one for one in package.inputs.values() if one.settings.kind == "image"]
    intake = take_in(config, sources, images, screen)
    made_on = {name: ["" if one is None else one.scanner for one in series] for name, series in intake.series.items()}
    if not subject.own:
        return Audited(subject, named, recorded(package.facts), made_on)
    sides = {int(i): part for part, said in subject.parts.items() for i in said.rows}
    return Audited(subject, named, tuple(leaks(config, sources, intake, sides)), made_on)


def recorded(facts: Plain) -> tuple[Leak, ...]:
    """Give the leakage checks that a package has on record."""
    return tuple(
        Leak(
            check=row["check"],
            name=row["name"],
            found=row["found"],
            leaks=row["verdict"] in {"LEAK", "waived"},
            class_name=row["class"],
            association=None
            if row["auroc"] is None
            else Association(row["auroc"], row["at_least"], row["studies"], row["patients"]),
            judged=row["verdict"] != "not judged",
        )
        for row in facts.get("proof", {}).get("checks", ())
    )


def headline_of(scores: Scores, config: RunConfig) -> Estimate:
    """Estimate the number by which models of this task are compared."""
    yardstick = YARDSTICKS[config.target.task]
    return interval(
        partial(yardstick.of, scores), scores.patient, config.evaluation.resamples, rests_on=yardstick.rests_on(scores)
    )
