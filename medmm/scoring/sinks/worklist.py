"""The worklist: all scored studies on one HTML page, the highest risk first, with their images and signals; `worklist.html`.

What is kept while rows are told is bounded, whatever their number: the studies that are shown and listed, and the rejected ones
that are. Images are read again for the first studies alone, within a limit of time.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from medmm.files import writing
from medmm.inputs.image import ImageSettings
from medmm.inputs.signal import SignalSettings
from medmm.preview.thumbnails import Thumbnail, Wanted, thumbnails
from medmm.preview.worklist_entries import Entry, Head, Refused
from medmm.preview.worklist_page import worklist_page
from medmm.scoring.sinks.base import Reporter, Row
from medmm.scoring.worklist import entry_of, how_to_read, refused_of, risk_of
from medmm.types import Study

if TYPE_CHECKING:
    from medmm.package import Package

NAME = "worklist.html"

MOST_SHOWN = 200
"""Studies with pictures: what a reader begins with. At some 40 KB each, the page stays below 10 MB."""

MOST_LISTED = 5_000
"""Studies on the page; the results hold them all."""

MOST_REJECTED = 1_000
"""Rejected studies on the page."""

MOST_PICTURES = 4
"""Of one study."""

ALL_SECONDS = 60.0
"""For all pictures: a scoring that watches a folder writes the page again and again."""

NO_SOURCE = "No picture: this scoring was not asked for this study, and only its row is known."
NO_IMAGE = "No picture: the study has no image and no signal."
NOT_DRAWN = "No picture: its image could not be read and drawn again in time."
SOME_DRAWN = "The other images are not shown."

Held: TypeAlias = tuple[float, int, Entry, Study | None]
"""Risk, place in the order of the rows from the end, and the study; the place is never the same."""


class Worklist:
    """`worklist.html`."""

    @contextmanager
    def open(self, out: Path, package: Package) -> Iterator[Reporter]:
        """Start the page."""
        rows = _Rows(package)
        yield rows
        with writing(out / NAME) as temporary, temporary.open("w", encoding="utf-8", errors="replace") as file:
            file.writelines(rows.page())


class _Rows:
    """Keeps what the page shows of the rows that it is told."""

    def __init__(self, package: Package) -> None:
        self._package = package
        self._held: list[Held] = []  # a heap, the least risk on top
        self._refused: list[Refused] = []
        self._codes: Counter[str] = Counter()
        self._count = self._said = self._abstain = 0
        self._times = ("", "")
        self._computed: set[str] = set()

    def scored(self, row: Row, study: Study | None) -> None:
        entry = entry_of(row, self._package)
        self._count += 1
        self._said += _is_said(entry)
        self._abstain += entry.abstains
        time = str(row.get("scored_at") or "")
        self._times = (min(self._times[0] or time, time), max(self._times[1], time))
        self._computed.add(str(row.get("computed_in") or ""))
        held = (risk_of(row, self._package), -self._count, entry, study)
        if len(self._held) < MOST_LISTED:
            heapq.heappush(self._held, held)
        else:
            heapq.heappushpop(self._held, held)

    def rejected(self, row: Row, study: Study | None) -> None:
        self._codes[str(row.get("code"))] += 1
        if len(self._refused) < MOST_REJECTED:
            self._refused.append(refused_of(row))

    def page(self) -> Iterator[str]:
        """Give the page in pieces; pictures are drawn as their studies come up."""
        held = sorted(self._held, key=lambda one: one[:2], reverse=True)
        rejected = self._codes.total()
        counts = [(self._count, "studies scored", "studies"), (rejected, "rejected", "rejected" if rejected else "")]
        if self._package.target.task == "binary":
            counts.insert(1, (self._said, f"said to have {self._package.target.names[0]}", ""))
        if self._package.doubt_columns():
            counts.insert(-1, (self._abstain, "with no answer to rely on", ""))
        head = Head(
            title=f"Worklist: {self._package.name}",
            facts=self._facts(),
            counts=counts,
            says=how_to_read(self._package),
            unit="the unit of the value" if self._package.target.task == "regression" else "log odds",
        )
        with closing(self._drawn(held[:MOST_SHOWN])) as shown:
            yield from worklist_page(
                head,
                shown,
                [entry for _, _, entry, _ in held[MOST_SHOWN:]],
                self._cut(held),
                self._refused,
                self._rejections(),
                f"Package {self._package.digest}. Identifiers are those of the tables scores and rejected; nothing on this "
                "page is text of an image's header.",
            )

    def _facts(self) -> str:
        first, last = self._times
        when = f", scored {first} to {last}" if first != last else f", scored {first}" if first else ""
        how = f", computed in {' and '.join(sorted(filter(None, self._computed)))}" if any(self._computed) else ""
        return f"Model {self._package.name}, package {self._package.digest[:12]}{how}{when} (UTC)."

    def _cut(self, held: Sequence[Held]) -> str:
        left = self._count - len(held)
        if not left:
            return ""
        said = self._said - sum(_is_said(entry) for _, _, entry, _ in held)
        abstain = self._abstain - sum(entry.abstains for _, _, entry, _ in held)
        return (
            f"This page ends here: {left:,} more studies, all of lower risk, stand in the table scores alone. Of these "
            f"{said:,} have a finding said, and {abstain:,} have no answer to rely on."
        )

    def _rejections(self) -> str:
        whole = self._codes.total()
        by_code = ", ".join(f"{code}: {count:,}" for code, count in self._codes.most_common())
        shown = f" The first {MOST_REJECTED:,} stand here, all of them in the table rejected." if whole > MOST_REJECTED else ""
        return f"{whole:,} by code: {by_code}.{shown}"

    def _drawn(self, held: Sequence[Held]) -> Generator[tuple[Entry, Sequence[Thumbnail], str], None, None]:
        settings = {name: one.settings for name, one in self._package.inputs.items()}
        wanted = [_wanted(study, settings) for _, _, _, study in held]
        with closing(thumbnails([image for some, _ in wanted for image in some], ALL_SECONDS)) as drawn:
            for (_, _, entry, study), (images, hidden) in zip(held, wanted, strict=True):
                found = [next(drawn) for _ in images]
                pictures = [picture for some in found for picture in some]
                missing = (
                    "" if all(found) else NOT_DRAWN if not pictures else "One of its images could not be read again in time."
                )
                if not images:
                    missing = NO_SOURCE if study is None else NO_IMAGE
                elif hidden and not missing:
                    missing = SOME_DRAWN
                yield entry, pictures, missing


def _is_said(entry: Entry) -> bool:
    return any(line.decided for line in entry.lines)


def _wanted(study: Study | None, settings: Mapping[str, object]) -> tuple[list[Wanted], bool]:
    """Give the images and signals of a study of which pictures are to be drawn, and whether there are more."""
    found: list[Wanted] = []
    for name, own in sorted(settings.items()):
        evidence = study.evidence.get(name) if study is not None else None
        if evidence is None or not evidence.files:
            continue
        if isinstance(own, SignalSettings):
            found.append(Wanted(evidence.files, name=name, signal=True))
        if not isinstance(own, ImageSettings):
            continue
        apart = own.images > 1 and not evidence.counts  # each file is an image
        files = [(file,) for file in evidence.files[: own.images]] if apart else evidence.images()
        found += [Wanted(one, own.reading, name=name) for one in files]
    some = found[:MOST_PICTURES]
    each = MOST_PICTURES // max(1, len(some))
    return [replace(one, most=each) for one in some], len(found) > len(some)
