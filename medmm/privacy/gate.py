"""What every word passes on its way into a record, a page or a package: keys that are listed, values that name nobody.

The gate knows the identifiers of the cohort at hand, and takes them out of whatever holds one. That must never happen: what
passes here is made so that it names nobody, and a test holds it to that. So the gate never breaks a training, but it says
what it took out, and under `MEDMM_GATE=strict`, as in the tests, it raises.
"""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from medmm.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from medmm.settings import Plain
    from medmm.types import Study

MODE, STRICT = "MEDMM_GATE", "strict"
WITHHELD = "(withheld)"

LEAST_LETTERS = 5
"""Of an identifier that is looked for, and it must hold a digit: a shorter one, or a bare word, stands in any text."""

LEAST_DIGITS = 7
"""Of one that is a bare number: a shorter one may as well be a count, or the row of a study."""

LONGEST_TAG = 8000
"""Characters that the store takes; what is longer it quotes in a warning."""

DIGEST = re.compile(r"[0-9a-f]{0,64}")
ADDRESS = re.compile(r"(runs|models):/.*|None|a local folder|[\w.-]+")
LINE = re.compile(r"[^\x00-\x1f]*")
MOMENT = re.compile(r"[0-9T:Z.+-]*")
COUNT = re.compile(r"[0-9]+")
TEXT = re.compile(r"[^\x00]*")

NOTE = "mlflow.note.content"
"""The description on a run's page, in Markdown."""

TAGS: Mapping[str, re.Pattern[str]] = {
    "audit": re.compile("pass|fail"),
    "best_single_input": LINE,
    "challenger_digest": DIGEST,
    "champion_digest": DIGEST,
    "cohort_digest": DIGEST,
    "encoders_digest": DIGEST,
    "first": MOMENT,
    "last": MOMENT,
    "package_digest": DIGEST,
    "scored": COUNT,
    "error": TEXT,  # of ours alone, which name nobody
    "init": ADDRESS,
    "init_digest": DIGEST,
    "kind": LINE,
    "method": LINE,
    NOTE: TEXT,
    "model": ADDRESS,
    "model_digest": DIGEST,
    "protocol_digest": DIGEST,
    "verdict": LINE,
}
"""Tag -> what it may be. A tag that is not here is not set."""

SECTIONS = frozenset(
    {"name", "cohort", "target", "inputs", "split", "leakage", "model", "training", "rules", "pretraining", "intended_use"}
    | {"evaluation", "audit", "compare"}
)
"""Of the run file, those whose settings are parameters; not what only one machine has: tracking and output."""

PARAMETERS = SECTIONS | {"method", "kind", "seed", "fold", "alpha", "since", "until"}
"""First part of the names of parameters."""

IDENTIFYING = frozenset(
    {"patient_id", "study_id", "study_uid", "accession", "accession_number", "patient_name", "birth_date", "mrn"}
)
"""Columns that no table of a record has; the results of scoring, which are no record, have the first two."""

PLACE = re.compile(r"""(?:^|[\s'"=(\[,])(?:file:/*|[A-Za-z]:\\|~)?[/\\](?:[^/\\\s'"]+[/\\])+""")
"""A folder by its absolute path: names of folders may be names of patients."""

ODD = re.compile(r".*[^\w.].*|.{50,}", re.DOTALL)

WORD = re.compile(r"\w{3,}")
NUMBERED = re.compile(r"\d+(\.\d+){4,}")
"""How a UID looks."""


class Escaped(AssertionError):  # noqa: N818 - what it did
    """Something that may name a patient was on its way out; raised in strict mode alone. Its text does not repeat it."""


class Gate:
    """Keeps identifiers in. One for a process, as its log and its streams are one."""

    def __init__(self) -> None:
        self._known: dict[str, set[str]] = defaultdict(set)
        self._taken: Counter[str] = Counter()

    def remember(self, studies: "Iterable[Study]") -> None:
        """Look for the identifiers of these studies from now on: patient, study, and every UID among their cells."""
        for study in studies:
            uids = (cell for cell in study.cells.values() if NUMBERED.fullmatch(cell))
            for identifier in (study.patient_id, study.study_id, *uids):
                least = LEAST_DIGITS if identifier.isdigit() else LEAST_LETTERS
                words = WORD.findall(identifier)
                if len(identifier) >= least and words and any(letter.isdigit() for letter in identifier):
                    self._known[max(words, key=len).lower()].add(identifier)

    def forget(self) -> None:
        """Know no identifier any more, and nothing of what was taken out."""
        self._known.clear()
        self._taken.clear()

    def text(self, text: str, what: str) -> str:
        """Give a text without the identifiers that are known.

        Args:
            text: On its way out.
            what: Where it goes, in words that name nobody: "a page", "tag model".
        """
        for identifier in self._candidates(text):
            text, count = _whole(identifier).subn(WITHHELD, text)
            if count:
                self._take(f"an identifier in {what}")
        return text

    def refuse(self, text: str, what: str) -> None:
        """Refuse a text that holds an identifier and cannot do without it.

        Raises:
            DataError: It does.
        """
        if any(_whole(identifier).search(text) for identifier in self._candidates(text)):
            raise DataError(
                f"{what} holds an identifier of a patient or a study: strike it from the notes and cells it comes from"
            )

    def plain(self, content: "Plain", what: str) -> "Plain":
        """Give plain data, keys and values, without the identifiers that are known."""
        if isinstance(content, str):
            return self.text(content, what)
        if isinstance(content, Mapping):
            return {self.text(str(key), what): self.plain(value, what) for key, value in content.items()}
        if isinstance(content, list | tuple):
            return [self.plain(value, what) for value in content]
        return content

    def tags(self, values: Mapping[str, str]) -> dict[str, str]:
        """Give the tags that may be set."""
        passed: dict[str, str] = {}
        for key, value in values.items():
            if key not in TAGS:
                self._take(f"the tag {key if ODD.fullmatch(key) is None else 'of an odd name'}, which is not listed")
            elif not TAGS[key].fullmatch(value) or (key != NOTE and PLACE.search(value)):
                self._take(f"the value of tag {key}, which is not of its kind")
            else:
                passed[key] = self.text(value, f"tag {key}")[:LONGEST_TAG]
        return passed

    def parameters(self, values: Mapping[str, object]) -> dict[str, str]:
        """Give the parameters that may be kept, as the store keeps them: a value with an absolute path is withheld."""
        passed: dict[str, str] = {}
        for key, value in values.items():
            if key.partition(".")[0] not in PARAMETERS:
                self._take("a parameter of no listed section")
                continue
            said = str(value)
            if PLACE.search(said):
                self._take(f"a path in a parameter of {key.partition('.')[0]}")
                said = WITHHELD
            passed[self.text(key, "the name of a parameter")] = self.text(said, "a parameter")
        return passed

    def table(self, table: "pd.DataFrame", what: str) -> "pd.DataFrame":
        """Give a table without columns that identify; what stands in its cells is looked at as text."""
        wrong = [name for name in table.columns if str(name).lower() in IDENTIFYING]
        if wrong:
            self._take(f"a column of identifiers in {what}")
        return table.drop(columns=wrong)

    def told(self) -> list[str]:
        """Give what was kept in, a line each; for whoever ran the command."""
        return [
            f"kept in: {what} ({count} times): nothing of it left, but this must not happen: please report this line"
            for what, count in sorted(self._taken.items())
        ]

    def _candidates(self, text: str) -> set[str]:
        words = self._known.keys() & set(WORD.findall(text.lower())) if self._known else set()
        return {one for word in words for one in self._known[word]}

    def _take(self, what: str) -> None:
        if os.environ.get(MODE) == STRICT:
            raise Escaped(f"{what} was on its way out: name nobody there, or list its key in medmm/privacy/gate.py")
        self._taken[what] += 1


def _whole(identifier: str) -> re.Pattern[str]:
    """Give what finds an identifier that stands alone, in any case, and is no part of a longer word or number."""
    return re.compile(rf"(?<![\w.]){re.escape(identifier)}(?!\w|\.\d)", re.IGNORECASE)


GATE = Gate()
"""The one of this process."""


def write_page(path: "Path", content: str) -> None:
    """Write a page that may be handed on."""
    from medmm.files import write_text

    write_text(path, GATE.text(content, "a page"))


def write_answer(path: "Path", content: "Plain") -> None:
    """Write plain data that may be handed on, as JSON."""
    from medmm.files import write_json

    write_json(path, GATE.plain(content, "an answer in JSON"))
