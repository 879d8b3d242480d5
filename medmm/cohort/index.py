"""What was found in a folder, kept on disk until its files change, so that looking again costs a stat a file.

An index holds identifiers of patients, as the headers do. So it lies only in a folder that the user named for results, for
nobody but the user to read, and under a name that says nothing. It is JSON, believed only where it is whole and could be
written by nobody else; anything else is as if there were none.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from medmm import __version__
from medmm.cohort.headers import WaveformFound
from medmm.errors import Code, Rejected
from medmm.files import digest, json_text, write_private
from medmm.readers.formats import Format
from medmm.settings import Plain

FORMAT = 4
"""Of an index; one of another number, or of another version of medmm, is not believed."""

FRESH_NS = 2_000_000_000
"""A file that was changed so short before a look may change once more without a new time, so it is not believed to be known."""

WORDS: Mapping[str, Format | Code] = {word.value: word for word in (*Format, *Code)}

Stamp: TypeAlias = tuple[int, int, int]
"""Size, time of the last change of content, time of the last change of anything, in ns. Nobody can set the last one."""

Key: TypeAlias = tuple[str, str]
"""StudyInstanceUID and SeriesInstanceUID."""

End: TypeAlias = Key | WaveformFound | Format | Code
"""What a file was found to be: a part of a series, a waveform, another image, or why none of these."""


@dataclass(frozen=True)
class Index:
    """What is known of a folder.

    Attributes:
        stamps: Path below the folder -> its stamp, in the order of the files.
        ends: Path below the folder -> what it was found to be.
        series: Each series in plain words.
        numbered: Series of which something is said by the number of a file.
    """

    stamps: Mapping[str, Stamp] = field(default_factory=dict)
    ends: Mapping[str, End] = field(default_factory=dict)
    series: Mapping[Key, Plain] = field(default_factory=dict)
    numbered: frozenset[Key] = frozenset()

    def holding(self, stamps: Mapping[str, Stamp]) -> dict[str, End]:
        """Give what still holds of the files that have these stamps now; a series holds as a whole or not at all."""
        changed = {self.ends[name] for name, stamp in self.stamps.items() if stamps.get(name) != stamp}
        if list(self.stamps) != list(stamps):
            changed |= self.numbered | {end for end in self.ends.values() if isinstance(end, WaveformFound) and end.problem}
        return {
            name: self.ends[name]
            for name, stamp in stamps.items()
            if self.stamps.get(name) == stamp
            and not (isinstance(self.ends[name], tuple | WaveformFound) and self.ends[name] in changed)
        }


def stamp_of(told: os.stat_result, now_ns: int) -> Stamp:
    """Give the stamp of a file; one that equals no other where the file is too fresh."""
    fresh = max(told.st_mtime_ns, told.st_ctime_ns) > now_ns - FRESH_NS
    return told.st_size, told.st_mtime_ns, now_ns if fresh else told.st_ctime_ns


def recall(place: Path, folder: Path) -> Index:
    """Give what is known of a folder; an empty index where nothing is, or nothing that can be believed."""
    try:
        with _file(place, folder).open("rb") as opened:
            told = os.fstat(opened.fileno())
            if told.st_uid != os.getuid() or stat.S_IMODE(told.st_mode) & 0o077:
                return Index()
            content = json.loads(opened.read())
        if content["digest"] != _sign(content["index"]):
            return Index()
        keys = [(study, series) for study, series, _ in content["index"]["series"]]
        ends = [_end(folder / name, end, keys) for name, *_, end in content["index"]["files"]]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return Index()
    rows = content["index"]["files"]
    return Index(
        stamps={name: (size, modified, changed) for name, size, modified, changed, _ in rows},
        ends={name: end for (name, *_), end in zip(rows, ends, strict=True)},
        series={key: plain for key, (*_, plain) in zip(keys, content["index"]["series"], strict=True)},
        numbered=frozenset(keys[number] for number in content["index"]["numbered"]),
    )


def remember(place: Path, folder: Path, index: Index) -> None:
    """Keep an index; where it cannot be kept, the next look takes longer and nothing else is lost."""
    numbers = {key: number for number, key in enumerate(index.series)}
    plain = {
        "files": [
            [name, *stamp, _plain_end(end, numbers)]
            for (name, stamp), end in zip(index.stamps.items(), index.ends.values(), strict=True)
        ],
        "series": [[*key, found] for key, found in index.series.items()],
        "numbered": sorted(numbers[key] for key in index.numbered),
    }
    with suppress(OSError, UnicodeEncodeError):  # the latter: of a file name that is no text, which JSON cannot say
        write_private(_file(place, folder), json_text({"index": plain, "digest": _sign(plain)}, indent=None).encode())


def plain_problem(problem: Rejected | None) -> list[str] | None:
    """Give the reason of a refusal as JSON can say it."""
    if problem is None:
        return None
    return [problem.code.value, problem.where, problem.found, problem.expected, problem.repair]


def problem_of_plain(plain: Sequence[str] | None) -> Rejected | None:
    """Undo `plain_problem`."""
    if plain is None:
        return None
    code, *words = plain
    return Rejected(Code(code), *words)


def _plain_end(end: End, numbers: Mapping[Key, int]) -> Plain:
    """Say what a file is: by the number of its series, by a word, or as the texts of a waveform and what speaks against it."""
    if isinstance(end, WaveformFound):
        texts = [end.study_uid, end.patient_id, end.accession, end.modality, end.sop_class]
        return [*texts, plain_problem(end.problem)]
    return numbers[end] if isinstance(end, tuple) else end.value


def _end(file: Path, plain: Plain, keys: Sequence[Key]) -> End:
    if isinstance(plain, list):
        study, patient, accession, modality, sop_class, problem = plain
        return WaveformFound(file, study, patient, accession, modality, sop_class, problem_of_plain(problem))
    return keys[plain] if isinstance(plain, int) else WORDS[plain]


def _file(place: Path, folder: Path) -> Path:
    return place / f"{digest(os.fsencode(folder.resolve()))[:32]}.json"


def _sign(plain: Plain) -> str:
    return digest([FORMAT, __version__, plain])
