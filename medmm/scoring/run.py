"""A scoring from beginning to end: what the ledger lacks is scored, kept at once, and written out as results."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from medmm.dataset.cache import Progress
from medmm.errors import Code, DataError, Rejected
from medmm.package import Package
from medmm.rules.trace import fired_of
from medmm.scoring.engine import Engine, Options, score_stream
from medmm.scoring.identity import Named, keys_of, study_digest
from medmm.scoring.ledger import open_ledger
from medmm.scoring.ledger.base import Entry, Ledger
from medmm.scoring.results import digest_of, rejected, scored
from medmm.scoring.rows import Outcome, reject
from medmm.scoring.shards import Shard, unfinished
from medmm.scoring.sinks import REPORTS, SINKS
from medmm.scoring.sinks.base import UNKNOWN_RANGES, Looks, NumberRanges, Numbers, Row, Tells, Writer
from medmm.types import Study

AT_ONCE = 32
"""Studies that a scorer claims at a time: few enough that another finds work too, and that a kill costs a second."""

POLL_SECONDS = 0.2
"""Between two looks at whether another scorer has ended its studies, or died."""

PATIENCE_SECONDS = 5.0
"""After which it is said that this scorer waits for another."""

READINGS = 3
"""How often a study whose files change while they are read is read before it is rejected."""

FIRST = 200
MOST_REJECTED = 0.2
"""A scoring ends where more than this share of its first studies is rejected: the export is broken, or another model's."""


TAKEN_OVER = "another model has taken over this output folder: give each model its own --out"

NOBODY = Study(0, "", "")
"""Any study, for the words by which a row is named."""


@dataclass(frozen=True)
class Scored:
    """What the results hold, of this scoring and of earlier ones of the same model in the same folder.

    Attributes:
        scored: Studies with a row in `scores`.
        rejected: Studies with a row in `rejected`, by code.
        fired: Rule -> studies for which it fired.
        now: Studies that ended in this scoring, not in an earlier one or with another scorer.
        digest: Of all rows but for the time; two scorings that say the same have the same.
        waits: Shards that have not ended, so that the results are not written yet.
    """

    scored: int
    rejected: Mapping[Code, int]
    fired: Mapping[str, int]
    now: int
    digest: str
    waits: tuple[int, ...] = ()


class Scorer:
    """Scores studies into an output folder, each exactly once, however often and by however many it is asked for.

    Args:
        package: The model.
        out: The output folder.
        options: How the engine works.
        sink: Format of the results.
        also: Reports beside them, names in `REPORTS`.
        ledger: Where rows are kept; the usual one of the output folder where left out.
        stops: Whether to end where many of the first studies are rejected.
        shard: Which studies are scored; all where left out.
        notice: Told what the user should know meanwhile.
        engine: What computes.
        ranges: Of which number ranges the identifiers are, for reports that say so.
    """

    def __init__(
        self,
        package: Package,
        out: Path,
        options: Options | None = None,
        *,
        sink: str = "parquet",
        also: Sequence[str] = (),
        ledger: Ledger | None = None,
        stops: bool = True,
        shard: Shard | None = None,
        notice: Callable[[str], None] = lambda _: None,
        engine: Engine = score_stream,
        ranges: NumberRanges = UNKNOWN_RANGES,
    ) -> None:
        self._sink = SINKS.pick(sink)
        picked = (REPORTS.pick(name) for name in also)
        self._reports = [one.numbered(ranges) if isinstance(one, Numbers) else one for one in picked]
        self._package = package
        self._out = out
        self._look(())  # what a report cannot do without is missing before the first study, too
        self._options = options or Options()
        self._ledger = ledger or open_ledger(out, model_key(package, self._options), sharded=shard is not None)
        self._stops = stops
        self._shard = shard
        self._notice = notice
        self._asked: list[_Asked] = []
        self._known: dict[int, Study] = {}
        self._kept = 0
        self._engine = engine
        self._ended = 0
        self._refused: list[Rejected] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, reason: BaseException | None, trace: TracebackType | None) -> None:
        self._ledger.close()

    def round(self, studies: Sequence[Study], progress: Progress | None = None) -> None:
        """Score those of the studies that have no row for what they are now; wait for those that another scorer has.

        At the end all are looked at once more, for one may have changed after it was scored.

        Args:
            studies: Gathered, from `find_studies`; no two have one row number.
            progress: Told how many of them are done.

        Raises:
            DataError: Most of the first studies are rejected; another model has taken over the folder; the ledger fails.
        """
        assert len({study.row for study in studies}) == len(studies)
        self._asked = [_Asked(study, key) for study, key in zip(studies, keys_of(studies), strict=True)]
        if self._reports:
            self._known |= {study.row: study for study in studies}
        mine = [one for one in self._asked if self._shard is None or self._shard.of(one.key)]
        left, looks, before = mine, 0, self._ended
        patient_until = time.monotonic() + PATIENCE_SECONDS
        while left:
            work = _Pass(self._ledger, left)
            for outcomes in self._engine(self._package, work.studies(), self._options):
                self._keep(work, outcomes)
                patient_until = time.monotonic() + PATIENCE_SECONDS
                if progress is not None:
                    progress(len(mine) - work.undone, len(mine))
            left = [*work.others, *work.changed]
            if progress is not None:
                progress(len(mine) - len(left), len(mine))
            if left:
                if time.monotonic() > patient_until:
                    self._notice(
                        f"waiting for {len(left)} studies that another scorer has: if it is stuck, end it to free them"
                    )
                    patient_until = float("inf")
                time.sleep(POLL_SECONDS)
            elif self._ended > before and looks < READINGS:
                looks += 1
                left = self._outdated(mine)
        self._look([one.study for one in mine])

    def export(self) -> Scored:
        """Write the results `scores` and `rejected` from the ledger, and say what they hold; not before all shards have ended.

        Raises:
            DataError: Another model has taken over the folder; its scorer writes the results.
        """
        counts: Counter[Code] = Counter()
        fired: Counter[str] = Counter({rule.name: 0 for rule in self._package.rules})
        total = 0
        schemas = {"scores": scored(self._package), "rejected": rejected(self._package)}
        waits = unfinished(self._ledger, self._asked, self._shard.count) if self._shard else ()

        def told(rows: Iterator[tuple[int, Row]], keep: Callable[[Row, Study | None], None]) -> Iterator[Row]:
            nonlocal total
            for number, row in rows:
                total += 1
                fired.update(fired_of(row))
                if "code" in row:
                    counts[Code(str(row["code"]))] += 1
                numbered = _renumbered(row, number)
                keep(numbered, self._known.get(number))
                yield numbered

        with self._ledger.exporting(self._notice) as ours, ExitStack() as files:
            if not ours:
                raise DataError(TAKEN_OVER)
            sums = []
            reports = [files.enter_context(one.open(self._out, self._package)) for one in ([] if waits else self._reports)]
            for name, schema in schemas.items():  # all take their names when all are whole
                is_rejected = name == "rejected"
                writes: list[Callable[[Row, Study | None], None]] = [
                    one.rejected if is_rejected else one.scored for one in reports
                ]
                if not waits:
                    table = files.enter_context(self._sink.open(self._out, name, schema))
                    writes.append(partial(_write, table))
                rows = told(self._ledger.rows(rejected=is_rejected), partial(_to_all, writes))
                sums.append(digest_of(rows))
        for one in reports:
            if isinstance(one, Tells):
                self._notice(one.told())
        return Scored(total - counts.total(), dict(counts), dict(fired), self._kept, digest_of([{"digests": sums}]), waits)

    def retry_rejected(self) -> int:
        """Let the next round try those again that were rejected, and give their number; of a shard its own alone."""
        return self._ledger.forget_rejected(self._shard.of if self._shard else lambda _: True)

    def _look(self, studies: Sequence[Study]) -> None:
        for report in self._reports:
            if isinstance(report, Looks):
                report.look(studies, self._out, self._package)

    def _outdated(self, asked: "Sequence[_Asked]") -> "list[_Asked]":
        """Give the studies whose row is of what they are no longer, or is not there."""
        rows = self._ledger.known([one.key for one in asked])
        return [one for one in asked if rows.get(one.key) != study_digest(one.study)]

    def _keep(self, work: "_Pass", outcomes: Sequence[Outcome]) -> None:
        """Commit outcomes; a study that changed while it was read is read again."""
        entries = []
        for outcome in outcomes:
            asked, held = work.held.pop(outcome.study.row)
            if study_digest(asked.study) != held.digest:
                asked.readings += 1
                if asked.readings < READINGS:
                    work.changed.append(asked)
                    continue
                outcome = reject(asked.study, still_changing(asked.study), self._package)  # noqa: PLW2901
            entries.append(Entry(held, outcome.row, outcome.reason is not None))
            work.undone -= 1
            self._watch(outcome.reason)
        self._kept += self._ledger.commit(entries)
        if self._stops and self._ended >= FIRST and len(self._refused) > MOST_REJECTED * FIRST:
            raise self._broken()

    def _watch(self, reason: Rejected | None) -> None:
        """Count a study that has ended, and remember why the first ones were rejected."""
        self._ended += 1
        if self._ended <= FIRST and reason is not None:
            self._refused.append(reason)

    def _broken(self) -> DataError:
        codes = Counter(reason.code for reason in self._refused)
        code, count = codes.most_common(1)[0]
        example = next(reason for reason in self._refused if reason.code is code)
        return DataError(
            f"{len(self._refused)} of the first {FIRST} studies were rejected, most of them ({count}) like this: {example}; "
            "what was scored is kept: mend the export, or go on all the same with --accept-rejects"
        )


def model_key(package: Package, options: Options) -> str:
    """Give the name of the model in a ledger: one that computes or answers otherwise is another, and its rows are its own."""
    otherwise = {
        f"in tiles of {options.tile}": options.tile not in {None, package.tile},
        f"in {options.precision}": options.precision != "fp32",
        "compiled": options.compiled,
        "without contributions": not options.contributions,
    }
    return ", ".join([package.digest, *(word for word, is_so in otherwise.items() if is_so)])


def still_changing(study: Study) -> Rejected:
    """Give the reason to reject a study whose files change whenever they are read."""
    return Rejected(
        Code.CHANGING,
        study.key,
        "files that changed while they were read",
        "files at rest",
        "score again when the export is complete",
    )


@dataclass
class _Asked:
    """A study that is to end in a row.

    Attributes:
        readings: How often it changed while it was read.
    """

    study: Study
    key: str
    readings: int = 0


class _Pass:
    """One walk over studies that have no row, as far as this scorer knows.

    Attributes:
        held: Number of a study -> it, and the name by which it was claimed, until it ends.
        others: What another scorer has.
        changed: What has to be read again.
        undone: How many of the studies have no row yet.
    """

    def __init__(self, ledger: Ledger, studies: Sequence[_Asked]) -> None:
        self._ledger = ledger
        self._studies = studies
        self.held: dict[int, tuple[_Asked, Named]] = {}
        self.others: list[_Asked] = []
        self.changed: list[_Asked] = []
        self.undone = len(studies)

    def studies(self) -> Iterator[Study]:
        """Claim studies as they are drawn, and give those that were free."""
        for at in range(0, len(self._studies), AT_ONCE):
            if not self._ledger.ours():
                raise DataError(TAKEN_OVER)
            some = {one.key: one for one in self._studies[at : at + AT_ONCE]}
            claimed = self._ledger.claim([Named(one.study, key, study_digest(one.study)) for key, one in some.items()])
            self.undone -= claimed.done
            self.others += [some[one.key] for one in claimed.others]
            self.held |= {one.study.row: (some[one.key], one) for one in claimed.mine}
            yield from (one.study for one in claimed.mine)


def _write(table: Writer, row: Row, _: Study | None) -> None:
    table.write([row])


def _to_all(writes: Sequence[Callable[[Row, Study | None], None]], row: Row, study: Study | None) -> None:
    for write in writes:
        write(row, study)


def _renumbered(row: Row, number: int) -> Row:
    """Give a row of `rejected` with the number that its study has now; that of a scored study has none."""
    if "row" not in row or row["row"] == number:
        return row
    known = replace(NOBODY, row=int(str(row["row"]))).key
    return {**row, "row": number, "reason": str(row["reason"]).replace(known, replace(NOBODY, row=number).key)}


def score(
    package: Package,
    studies: Sequence[Study],
    out: Path,
    options: Options | None = None,
    *,
    sink: str = "parquet",
    also: Sequence[str] = (),
    progress: Progress | None = None,
    engine: Engine = score_stream,
) -> Scored:
    """Score studies into the results `scores` and `rejected` of a folder; what stands there of this model is not done again.

    Args:
        package: The model.
        studies: Gathered, from `find_studies`.
        out: Folder of the results.
        options: How the engine works.
        sink: Format of the results.
        also: Reports beside them, names in `REPORTS`.
        progress: Told how many studies are done.
        engine: What computes.
    """
    with Scorer(package, out, options, sink=sink, also=also, engine=engine) as scorer:
        scorer.round(studies, progress)
        return scorer.export()
