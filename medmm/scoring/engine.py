"""Studies to outcomes: worker processes decode ahead while the model computes; a bad study costs one row."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import torch

from medmm.dataset.decode import prepare_studies
from medmm.errors import Code, Rejected
from medmm.inputs.base import Fields
from medmm.inputs.tabular import TabularInput, with_checked_cells
from medmm.package import Package
from medmm.rules.book import Rulebook
from medmm.scoring.rows import Outcome, reject, score_tile
from medmm.types import Study
from medmm.workers import Limits


@dataclass(frozen=True)
class Options:
    """How to score. Nothing here but `tile` changes a bit of a score.

    Attributes:
        tile: Studies that the network sees at once; None takes what the package names.
        workers: Processes that decode; None takes one a core, 0 decodes in this process.
        limits: Of one study in its process.
    """

    tile: int | None = None
    workers: int | None = None
    limits: Limits | None = None


def score_stream(package: Package, studies: Iterable[Study], options: Options | None = None) -> Iterator[list[Outcome]]:
    """Give the outcomes of studies, tile after tile; the scored ones in the order of the studies.

    Args:
        package: The model.
        studies: Any number; drawn only as fast as outcomes are consumed.
        options: `Options()` where left out.
    """
    options = options or Options()
    tile = options.tile or package.tile
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    package.model.to(device)
    book = package.rulebook()
    good: list[tuple[Study, Mapping[str, Fields]]] = []
    bad: list[Outcome] = []
    for study, prepared in prepare_studies(_before(book, package, studies), package.inputs, options.workers, options.limits):
        if isinstance(prepared, Rejected):
            bad.append(reject(study, prepared, package))
        elif not prepared:
            reason = Rejected(Code.NO_INPUT, study.key, "none of the inputs", "at least one", "export the study with its data")
            bad.append(reject(study, reason, package))
        else:
            good.append((study, prepared))
        if len(good) == tile or len(bad) == tile:
            yield [*(score_tile(package, book, good, tile) if good else []), *bad]
            good, bad = [], []
    if good or bad:
        yield [*(score_tile(package, book, good, tile) if good else []), *bad]


def _before(book: Rulebook, package: Package, studies: Iterable[Study]) -> Iterable[Study]:
    """Apply the rules before the model, as a training does: to studies whose cells can be used."""
    tabular = [one for one in package.inputs.values() if isinstance(one, TabularInput)]
    return (book.before(with_checked_cells(study, tabular)) for study in studies) if book.rules else studies
