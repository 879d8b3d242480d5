"""Studies to scores: worker processes decode ahead while the model computes; a bad study costs one row."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from medmm.dataset.batches import stack
from medmm.dataset.cache import Progress
from medmm.dataset.decode import prepare_studies
from medmm.errors import Code, Rejected
from medmm.evaluation.answers import answer_cells
from medmm.inputs.base import Fields
from medmm.inputs.tabular import TabularInput, with_checked_cells
from medmm.package import Package
from medmm.predict import predict
from medmm.references import Cell
from medmm.rules.book import Rulebook
from medmm.rules.trace import RULES, fired_of, traced
from medmm.scoring.results import rejected, scored
from medmm.scoring.sinks import SINKS
from medmm.scoring.sinks.base import Row
from medmm.types import Batch, Study

BATCH_SIZE = 32


@dataclass(frozen=True)
class Scored:
    """How a scoring ended.

    Attributes:
        scored: Studies with a row in `scores`.
        rejected: Studies with a row in `rejected`, by code.
        fired: Rule -> studies for which it fired.
    """

    scored: int
    rejected: Mapping[Code, int]
    fired: Mapping[str, int]


def score(
    package: Package,
    studies: Sequence[Study],
    out: Path,
    *,
    sink: str = "parquet",
    batch_size: int = BATCH_SIZE,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Scored:
    """Score studies into the results `scores` and `rejected` of a folder.

    Args:
        package: The model.
        studies: Gathered, from `find_studies`.
        out: Folder of the results.
        sink: Format of the results.
        batch_size: Studies that go through the model at once.
        workers: Processes that decode; None takes one a core, 0 decodes in this process.
        progress: Told how many studies are done.
    """
    counts: dict[Code, int] = {}
    fired = dict.fromkeys((rule.name for rule in package.rules), 0)
    done = 0
    format_ = SINKS.pick(sink)
    with format_.open(out, "scores", scored(package)) as scores, format_.open(out, "rejected", rejected(package)) as left:
        for good, bad in score_stream(package, studies, batch_size, workers):
            scores.write(good)
            left.write(bad)
            for row in bad:
                code = Code(str(row["code"]))
                counts[code] = counts.get(code, 0) + 1
            for name in (name for row in (*good, *bad) for name in fired_of(row)):
                fired[name] += 1
            done += len(good) + len(bad)
            if progress is not None:
                progress(done, len(studies))
    return Scored(done - sum(counts.values()), counts, fired)


def score_stream(
    package: Package, studies: Iterable[Study], batch_size: int = BATCH_SIZE, workers: int | None = None
) -> Iterator[tuple[list[Row], list[Row]]]:
    """Give the rows of the scored and of the rejected studies, batch after batch, in the order of the studies."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    package.model.to(device)
    book = package.rulebook()
    good: list[tuple[Study, Mapping[str, Fields]]] = []
    bad: list[Row] = []
    for study, prepared in prepare_studies(_before(book, package, studies), package.inputs, workers):
        if isinstance(prepared, Rejected):
            bad.append(_rejected_row(study, prepared, package))
        elif not prepared:
            reason = Rejected(Code.NO_INPUT, study.key, "none of the inputs", "at least one", "export the study with its data")
            bad.append(_rejected_row(study, reason, package))
        else:
            good.append((study, prepared))
        if len(good) == batch_size:
            yield _score_batch(package, book, good), bad
            good, bad = [], []
    if good or bad:
        yield (_score_batch(package, book, good) if good else []), bad


def _before(book: Rulebook, package: Package, studies: Iterable[Study]) -> Iterable[Study]:
    """Apply the rules before the model, as a training does: to studies whose cells can be used."""
    tabular = [one for one in package.inputs.values() if isinstance(one, TabularInput)]
    return (book.before(with_checked_cells(study, tabular)) for study in studies) if book.rules else studies


def _score_batch(package: Package, book: Rulebook, studies: Sequence[tuple[Study, Mapping[str, Fields]]]) -> list[Row]:
    names = sorted(package.inputs)
    found = {name: [prepared.get(name) for _, prepared in studies] for name in names}
    batch = Batch(
        inputs={name: stack(fields) for name, fields in found.items()},
        present={name: torch.tensor([one is not None for one in fields]) for name, fields in found.items()},
        target=None,
        rows=torch.arange(len(studies)),
    )
    everything = frozenset(names)
    said = predict(package.model, [batch], [everything])
    logits, conflict = said.logits, said.conflict
    raw = package.answer(logits[everything])  # (S, C)
    answers, fired = book.answers([study for study, _ in studies], raw)  # (S, C)
    cells: dict[str, Sequence[Cell]] = {**answer_cells(package.target, answers, package.thresholds)}
    if package.references is not None:
        cells |= package.references.cells(package.target, answers, said)
    return [
        {
            "patient_id": study.patient_id,
            "study_id": study.study_id,
            **{name: of_studies[i] for name, of_studies in cells.items()},
            **{f"raw_probability_{name}": float(p) for name, p in zip(package.target.names, raw[i], strict=True) if book.moves},
            "inputs": sorted(prepared),
            "conflict": None if conflict is None else float(conflict[i]),
            **(traced(fired[i]) if book.rules else {}),
            "model_digest": package.digest,
        }
        for i, (study, prepared) in enumerate(studies)
    ]


def _rejected_row(study: Study, reason: Rejected, package: Package) -> Row:
    return {
        "patient_id": study.patient_id,
        "study_id": study.study_id,
        "row": study.row,
        "code": reason.code.value,
        "reason": str(reason),
        "model_digest": package.digest,
        **({RULES: traced(study.fired)[RULES]} if package.rules else {}),
    }
