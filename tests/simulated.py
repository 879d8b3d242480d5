"""A model and its cohort in memory, as an audit sees them: made of numbers, without files, networks or training.

`python -m tests.simulated --cohorts 400` audits that many clean cohorts and prints every false alarm.

Each of three inputs tells a part of the logit of a study, which is in part the patient's and in part the study's. The model
knows the sum, so that it is calibrated, and every input is worth something. Sites leave a mark in the embedding and tell
nothing.
"""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
from scipy.special import expit, logit

from medmm.cohort.leakage import Finding as Leak
from medmm.cohort.manifest import make_manifest
from medmm.cohort.telltales import Sample, telltales
from medmm.config import RunConfig, parse_config
from medmm.dataset.cache import PreparedInput
from medmm.evaluation.calibration import fit_temperature
from medmm.evaluation.chapter import Chapter
from medmm.evaluation.decision import choose_thresholds
from medmm.evaluation.evaluate import compare, evaluate
from medmm.evaluation.intervals import Estimate, interval
from medmm.evaluation.metrics import auroc
from medmm.evaluation.yardstick import YARDSTICKS
from medmm.package import Package
from medmm.predict import Subset, subsets
from medmm.types import Array, Scores, Study
from medmm.workflows.audit import check_all
from medmm.workflows.audit.audited import Audited
from medmm.workflows.report import number
from medmm.workflows.subject import Said, Subject

INPUTS = ("chest", "history", "labs")
KINDS = {"chest": "image", "history": "text", "labs": "tabular"}
SIDE = 16
WEIGHT = {"chest": 1.3, "history": 1.3, "labs": 1.3}
PARTS = {"train": 0.6, "validation": 0.2, "test": 0.2}


def settings(resamples: int = 200, **more: Any) -> RunConfig:
    """A run file that fits the simulated cohort."""
    content: dict[str, Any] = {
        "name": "simulated",
        "cohort": {"root": ".", "subgroups": ["sex", "site"], "time": "time"},
        "target": {"column": "diagnosis", "positive": "ill"},
        "inputs": {
            "chest": {"kind": "image", "path": "dicom", "column": "uid", "modality": ["CR"], "size": [SIDE, SIDE]},
            "history": {"kind": "text", "table": "notes.csv"},
            "labs": {"kind": "tabular", "table": "labs.csv", "layout": "long", "numeric": {"crp": {}}},
        },
        "evaluation": {"resamples": resamples},
    }
    return parse_config({**content, **more}, "simulated")


@dataclass(frozen=True)
class InMemory(Subject):
    """A subject whose model sees of an image the mean of its centre, or of its corner where it learned a shortcut."""

    shortcut: bool = False

    def ask(
        self, rows: Sequence[int] | Array, prepared: Mapping[str, PreparedInput] | None = None, keep: Subset | None = None
    ) -> Array:
        images = (prepared or self.prepared)["chest"]
        found = [images.fields(int(i)) for i in rows]
        seen = slice(0, 2) if self.shortcut else slice(6, 10)
        means = np.array([0.0 if one is None else one["image"][0, seen, seen].mean() for one in found])
        return np.asarray(expit(means)[:, np.newaxis])


@dataclass
class Cohort:
    """The numbers of which a subject is made; a test changes some of them to plant a fault.

    Attributes:
        patient: (S,) numbers.
        told: Input -> (S,) what it tells of the logit.
        label: (S,) 0 or 1.
        present: (S, 3)
        site, sex: (S,)
        age: (S,) years.
        joint: (S, D)
        image: (S, 1, SIDE, SIDE)
        part: (S,) name of the part.
        time: Of each study.
        config: The run file.
        facts: What the package has on record, over what is made here.
        changes: Fields of the package to replace.
    """

    patient: Array
    told: dict[str, Array]
    label: Array
    present: Array
    site: Array
    sex: Array
    age: Array
    joint: Array
    image: Array
    part: Array
    time: list[datetime | None]
    config: RunConfig
    facts: dict[str, Any] = field(default_factory=dict)
    package: dict[str, Any] = field(default_factory=dict)
    answers: dict[Subset, Array] = field(default_factory=dict)
    shortcut: bool = False
    own: bool = True
    learned_from: int = 0

    def logit(self, some: Subset = frozenset(INPUTS)) -> Array:
        """The logit of the model by some inputs; what is not there tells nothing."""
        seen = [self.told[name] * self.present[:, i] for i, name in enumerate(INPUTS) if name in some]
        return np.sum(seen, axis=0)

    def predicted(self, some: Subset) -> Array:
        """(S, 1)"""
        return self.answers[some] if some in self.answers else expit(self.logit(some))[:, np.newaxis]

    def scores(self, rows: Array, some: Subset = frozenset(INPUTS)) -> Scores:
        groups = {"sex": self.sex[rows], "site": self.site[rows]}
        return Scores(
            ("ill",), self.predicted(some)[rows], self.label[rows, np.newaxis].astype(float), self.patient[rows], groups
        )

    def rows(self, part: str) -> Array:
        return np.flatnonzero(self.part == part)

    def said(self, part: str) -> Said:
        rows, whole = self.rows(part), frozenset(INPUTS)
        keep = subsets(INPUTS) if part == "test" else [whole]
        only = {some: self.scores(rows, some) for some in keep}
        logits = logit(np.clip(self.predicted(whole)[rows], 1e-9, 1 - 1e-9))
        pooled = dict.fromkeys(INPUTS, self.joint[rows])
        return Said(rows, only[whole], only, logits, self.joint[rows], pooled, self.present[rows])

    def studies(self) -> tuple[Study, ...]:
        return tuple(
            Study(
                i + 1,
                f"p{self.patient[i]}",
                f"s{i}",
                self.time[i],
                (float(self.label[i]),),
                {"sex": str(self.sex[i]), "site": str(self.site[i])},
                {"patient_id": f"p{self.patient[i]}", "age": f"{self.age[i]:.0f}"},
            )
            for i in range(len(self.patient))
        )

    def subject(self) -> InMemory:
        parts = {part: self.said(part) for part in (PARTS if self.own else ("test",))}
        studies = self.studies()
        validation = self.scores(self.rows("validation"))
        task, test, resamples = self.config.target.task, parts["test"].scores, self.config.evaluation.resamples
        made: dict[str, Any] = {
            "thresholds": choose_thresholds(validation, task, self.config.evaluation.decision),
            "temperature": fit_temperature(self.said("validation").logits, validation.target, task),
            "digest": "d" * 64,
            "references": {"chest": [0.0]},
            **self.package,
        }
        facts = {**self._facts(test, made["thresholds"], resamples), **self.facts}
        package = SimpleNamespace(
            name="simulated",
            target=self.config.target,
            inputs={name: SimpleNamespace(settings=self.config.inputs[name]) for name in INPUTS},
            model=SimpleNamespace(criterion=SimpleNamespace(tempered=True, settles=False)),
            rules=(),
            facts={name: one for name, one in facts.items() if one is not None},
            **made,
        )
        place = np.stack([np.zeros(len(self.patient), int), np.arange(len(self.patient))], axis=1)
        place[~self.present[:, 0].astype(bool)] = -1
        images = PreparedInput(place, ({"image": self.image},), {}, [f"file {i}" for i in range(len(place))])
        manifest = make_manifest(studies, {i: str(part) for i, part in enumerate(self.part)}, {}, {"chest": images.digests})
        return InMemory(
            self.config,
            cast(Package, package),
            studies,
            {},
            {"chest": images},
            manifest,
            self.own,
            self.learned_from,
            parts,
            self.shortcut,
        )

    def audited(self, **more: Any) -> Audited:
        return Audited(self.subject(), **more)

    def _facts(self, test: Scores, thresholds: tuple[float, ...], resamples: int) -> dict[str, Any]:
        task, whole, rows = self.config.target.task, frozenset(INPUTS), self.rows("test")
        table = evaluate(test, task, thresholds, resamples).table()
        results = [{str(k): None if v != v else v for k, v in row.items()} for row in table.to_dict("records")]
        cells: list[dict[str, object]] = []
        for i, name in enumerate(INPUTS):
            has = rows[self.present[rows, i].astype(bool)]
            alone, fused = self.scores(has, frozenset([name])), self.scores(has, whole)
            own = interval(lambda w, alone=alone: YARDSTICKS[task].of(alone, w), alone.patient, resamples)  # type: ignore[misc]
            cells.append({"model": f"{name} alone, own model", **number(own)})
            cells.append({"model": f"fusion with only {name}", **number(own)})
            cells.append({"model": f"all inputs minus {name} alone", **number(compare(fused, alone, task, resamples))})
        counts = {
            part: {"studies": len(self.rows(part)), "patients": len(set(self.patient[self.rows(part)]))} for part in PARTS
        }
        return {
            "cohort": counts,
            "cohort_digest": "c" * 64,
            "proof": {"checks": [], "waived": {}},
            "learned_from": ["f" * 64],
            "people": {"everyone": "e", "test": "t"},
            "results": results,
            "inputs": cells,
        }


def make(seed: int = 0, patients: int = 600, resamples: int = 200, **more: Any) -> Cohort:
    """A cohort without a fault."""
    rng = np.random.default_rng(seed)
    patient = np.repeat(np.arange(patients), rng.integers(1, 4, size=patients))
    count = len(patient)

    def spread(size: float) -> Array:
        return size * (0.7 * rng.standard_normal(patients)[patient] + 0.7 * rng.standard_normal(count))

    told = {name: spread(WEIGHT[name]) for name in INPUTS}
    present = rng.random((count, 3)) < (0.95, 0.9, 0.9)
    present[:, 2] |= ~present.any(axis=1)
    logits = np.sum([told[name] * present[:, i] for i, name in enumerate(INPUTS)], axis=0)
    label = (rng.random(count) < expit(logits)).astype(int)
    site = np.array(["north", "south", "west"])[rng.integers(3, size=patients)[patient]]
    part = rng.choice(list(PARTS), p=list(PARTS.values()), size=patients)[patient]
    marks = np.stack([site == one for one in ("north", "south")], axis=1) * 2.0
    joint = np.column_stack([*told.values(), marks, rng.standard_normal((count, 4))])
    joint += 0.3 * rng.standard_normal(joint.shape)
    image = rng.standard_normal((count, 1, SIDE, SIDE)).astype(np.float32)
    image[:, 0, 4:12, 4:12] += told["chest"][:, np.newaxis, np.newaxis]
    start = datetime(2024, 1, 1)
    return Cohort(
        patient,
        told,
        label,
        present,
        site,
        np.array(["f", "m"])[rng.integers(2, size=patients)[patient]],
        rng.normal(60, 12, size=patients)[patient].clip(18, 99),
        joint,
        image,
        part,
        [start + timedelta(days=int(day)) for day in rng.integers(700, size=count)],
        settings(resamples, **more),
    )


def estimate(value: float, half: float = 0.02, patients: int = 200) -> Estimate:
    """A number with a 95 % interval of this half width."""
    return Estimate(value, value - half, value + half, patients, patients, 2000)


def chapter(name: str, measures: Mapping[str, Estimate]) -> dict[str, Chapter]:
    """A chapter with numbers."""
    return {name: Chapter(name, name, (), measures)}


def sound_leaks() -> tuple[Leak, ...]:
    """What the leakage checks find of a sound cohort; what they find of faults is held by their own tests."""
    looked = [("two sides", one) for one in ("persons", "chest.series", "chest.files", "chest.images", "history.notes")]
    told = [("one word", "history.fever"), ("column", "labs.crp"), ("missing", "missing"), ("later", "labs.time")]
    return tuple(Leak(check, name, "none", False) for check, name in [*looked, *told])  # type: ignore[arg-type]


def clean_leaks(cohort: Cohort, seed: int) -> tuple[Leak, ...]:
    """What the leakage checks find of columns, notes and gaps that tell a part of the truth, as medicine does."""
    rng = np.random.default_rng(seed)
    learn = np.flatnonzero(cohort.part != "test")
    words = np.array(["cough", "fever", "pain", "chest", "left", "right", "old", "new"])
    leaning = expit(0.5 * cohort.told["history"])[:, None] * (np.arange(8) < 4) + 0.3
    notes = [" ".join(words[rng.random(8) < chance]) for chance in leaning]
    crp = [f"{value:.2f}" if has else "" for value, has in zip(cohort.told["labs"], cohort.present[:, 2], strict=True)]
    sample = Sample(
        patient=cohort.patient[learn],
        label=cohort.label[learn, None].astype(float),
        classes=("ill",),
        columns={"labs.crp": [crp[i] for i in learn]},
        notes={"history": [notes[i] for i in learn]},
        groups={"site": cohort.site[learn].tolist()},
        present={name: cohort.present[learn, i].astype(bool) for i, name in enumerate(INPUTS)},
    )
    return (*sound_leaks()[:5], *telltales(sample))


def clean_chapters(cohort: Cohort) -> dict[str, Chapter]:
    """Numbers as chapters give them, each estimated by drawing the patients of a sound cohort anew."""
    rows = cohort.rows("test")
    scores, patient = cohort.scores(rows), cohort.patient[rows]
    p, y = scores.predicted[:, 0], scores.target[:, 0]
    x = np.log(p / (1 - p))

    def recalibrated(weights: Array) -> tuple[Array, Array]:
        beta = np.tile([0.0, 1.0], (len(weights), 1))
        terms = np.stack([np.ones_like(x), x], axis=1)
        for _ in range(8):
            chance = expit(beta @ terms.T)
            gradient = (weights * (y - chance)) @ terms
            hessian = np.einsum("rs,si,sj->rij", weights * chance * (1 - chance), terms, terms)
            step = np.linalg.solve(hessian + 1e-6 * np.eye(2), gradient[:, :, None])[:, :, 0]
            beta += step.clip(-1, 1)  # far from the solution Newton's method overshoots
        return beta[:, 0], beta[:, 1]

    def auroc_of(some: Array) -> Callable[[Any], Any]:
        return lambda w: auroc(p[some], y[some], w[:, some])

    threshold, resamples = 0.5, cohort.config.evaluation.resamples
    odds, called, sick = threshold / (1 - threshold), p >= threshold, y == 1

    def gained(w: Any) -> Any:
        whole = w.sum(axis=1)
        net = ((w[:, called & sick]).sum(axis=1) - odds * (w[:, called & ~sick]).sum(axis=1)) / whole
        everyone = (w[:, sick].sum(axis=1) - odds * w[:, ~sick].sum(axis=1)) / whole
        return net - np.maximum(everyone, 0)

    site, sex = cohort.site[rows], cohort.sex[rows]
    groups = {**{f"site_{one}_gap": site == one for one in np.unique(site)}, "sex_f_gap": sex == "f"}
    gaps = {name: interval(lambda w, g=g: auroc_of(g)(w) - auroc_of(~g)(w), patient, resamples) for name, g in groups.items()}
    rng = np.random.default_rng(0)
    alarmed, covered = rng.random(len(y)) < 0.05, rng.random(len(y)) < 0.9
    damaged = expit(cohort.logit()[rows] + 0.3 * rng.standard_normal(len(y)))

    def dropped(w: Any) -> Any:
        return auroc(p, y, w) - auroc(damaged, y, w)

    def mean_of(values: Array) -> Estimate:
        return interval(lambda w: (w @ values) / w.sum(axis=1), patient, resamples)

    found: dict[str, Chapter] = {}
    found |= chapter(
        "calibration",
        {
            "in_the_large": interval(lambda w: recalibrated(w)[0], patient, resamples),
            "slope": interval(lambda w: recalibrated(w)[1], patient, resamples),
        },
    )
    found |= chapter("decision_curve", {"gain_at_0.5": interval(gained, patient, resamples)})
    found |= chapter("subgroups", gaps)
    found |= chapter("novelty", {"false_alarms": mean_of(alarmed.astype(float)), "outliers/chest": estimate(0.85, 0.06)})
    found |= chapter("conformal", {"coverage": mean_of(covered.astype(float)), "level": estimate(0.9, 0.04)})
    found |= chapter("robustness", {"mild_chest": interval(dropped, patient, resamples)})
    return found


def false_alarms(cohorts: int, patients: int) -> tuple[list[str], dict[str, int]]:
    """Audit clean cohorts: one line a false alarm, and how often each verdict was given."""
    alarms: list[str] = []
    counts: dict[str, int] = {}
    for seed in range(cohorts):
        cohort = make(1000 + seed, patients)
        findings, _ = check_all(cohort.audited(leaks=clean_leaks(cohort, seed), chapters=clean_chapters(cohort)), {})
        for one in findings:
            counts[one.verdict] = counts.get(one.verdict, 0) + 1
            if one.verdict == "fail":
                alarms.append(f"cohort {seed}: {one.check}: {one.evidence}")
    return alarms, counts


def main() -> None:
    """Audit clean cohorts of three sizes."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulated", description="Audits of clean cohorts.")
    parser.add_argument("--cohorts", type=int, default=200, help="of each size; default: %(default)s")
    parser.add_argument("--patients", type=int, nargs="+", default=[150, 300, 1000], help="sizes; default: %(default)s")
    asked = parser.parse_args()
    for patients in asked.patients:
        alarms, counts = false_alarms(asked.cohorts, patients)
        failed = len({one.partition(":")[0] for one in alarms})
        sys.stdout.write(f"{patients} patients: {failed} of {asked.cohorts} audits fail; {counts}\n")
        sys.stdout.writelines(f"{one}\n" for one in alarms)


if __name__ == "__main__":
    main()
