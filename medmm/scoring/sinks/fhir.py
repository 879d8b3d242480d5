"""A scoring as FHIR R4, in `fhir/`, twice the same resources with the same ids: take one of the two.

- `transactions/`: Bundles to be POSTed to a server one by one. Each is taken whole or not at all, holds studies whole, and at
  most as many entries as a server takes. Each entry is a PUT to an id that depends on the study and the model alone, so to
  send it again changes nothing, and a study that was scored anew replaces its older answer.
- `bulk/`: Bulk Data, a file a type, a resource a line, for a warehouse or the import of many.

Every resource is held against its definition before it is written, by fhir.resources.

Source: FHIR R4 (4.0.1), section 3.1.0.11 (transactions); Bulk Data Access 2.0.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING

from medmm.errors import ConfigError, DataError
from medmm.files import writing_folder
from medmm.scoring.sinks.base import UNKNOWN_RANGES, NumberRanges, Reporter, Row
from medmm.scoring.sinks.fhir_resources import Resources
from medmm.scoring.sinks.fhir_studies import remember_uids, uids_for
from medmm.scoring.sinks.fhir_terms import Element
from medmm.types import Study

if TYPE_CHECKING:
    from medmm.package import Package

FOLDER, BULK, TRANSACTIONS = "fhir", "bulk", "transactions"
TYPES = ("Device", "Observation", "DiagnosticReport", "Provenance")

ENTRIES = 500
"""Most entries of a transaction, as the FHIR service of Azure has it. One study alone may have more."""

Check = Callable[[Element], None]


@dataclass(frozen=True)
class Fhir:
    """`fhir/`: transactions for a server of an EHR, and Bulk Data.

    Attributes:
        ranges: Of the identifiers.
    """

    ranges: NumberRanges = UNKNOWN_RANGES

    def numbered(self, ranges: NumberRanges) -> "Fhir":
        """Give the report for identifiers of these number ranges."""
        return replace(self, ranges=ranges)

    def look(self, studies: Sequence[Study], out: Path, package: "Package") -> None:
        """Note which imaging studies these are, while their files are there.

        Raises:
            ConfigError: fhir.resources is not installed.
        """
        _checker()
        remember_uids(studies, out)

    @contextmanager
    def open(self, out: Path, package: "Package") -> Iterator[Reporter]:
        """Start the folder.

        Raises:
            ConfigError: fhir.resources is not installed.
        """
        check = _checker()
        with writing_folder(out / FOLDER) as folder:
            for name in (BULK, TRANSACTIONS):
                (folder / name).mkdir()
            with ExitStack() as files:
                bulk = {kind: files.enter_context(_text_file(folder / BULK / f"{kind}.ndjson")) for kind in TYPES}
                reporter = _Reporter(Resources(package, self.ranges), bulk, folder / TRANSACTIONS, check, out)
                yield reporter
                reporter.flush()


class _Reporter:
    """Writes what is said of a study as it comes, and keeps no more than one transaction."""

    def __init__(self, resources: Resources, bulk: dict[str, IO[str]], transactions: Path, check: Check, out: Path) -> None:
        self._resources = resources
        self._bulk = bulk
        self._transactions = transactions
        self._check = check
        self._out = out
        self._copies: Counter[str] = Counter()
        self._entries: list[str] = []
        self._written = 0
        self._model = self._written_in_bulk(resources.device())

    def scored(self, row: Row, study: Study | None) -> None:
        """Write a row of `scores`."""
        self._take(self._resources.scored(row, study, uids_for(row, study, self._out)))

    def rejected(self, row: Row, study: Study | None) -> None:
        """Write a row of `rejected`."""
        key = self._resources.key(row)
        self._take(self._resources.rejected(row, study, uids_for(row, study, self._out), self._copies[key]))
        self._copies[key] += 1

    def flush(self) -> None:
        """Write the transaction that is not full; each holds the model too, so that they may be sent in any order."""
        if not self._entries:
            return
        self._written += 1
        with _text_file(self._transactions / f"{self._written:06d}.json") as file:
            file.write('{"resourceType":"Bundle","type":"transaction","entry":[\n')
            file.write(",\n".join([self._model, *self._entries]))
            file.write("\n]}\n")
        self._entries = []

    def _take(self, resources: Sequence[Element]) -> None:
        entries = [self._written_in_bulk(one) for one in resources]
        if 1 + len(self._entries) + len(entries) > ENTRIES:
            self.flush()
        self._entries += entries

    def _written_in_bulk(self, resource: Element) -> str:
        """Write a resource as a line, and give it as an entry of a transaction."""
        self._check(resource)
        kind, name = str(resource["resourceType"]), str(resource["id"])
        text = _json(resource)
        self._bulk[kind].write(text + "\n")
        request = _json({"method": "PUT", "url": f"{kind}/{name}"})
        return f'{{"fullUrl":"urn:uuid:{name}","resource":{text},"request":{request}}}'


def _text_file(path: Path) -> IO[str]:
    return path.open("x", encoding="ascii", newline="\n")


def _json(content: Element) -> str:
    """Write JSON in ASCII, so that whatever a text holds no reader of lines splits it."""
    return json.dumps(content, separators=(",", ":"), allow_nan=False)


def _checker() -> Check:
    """Give what holds a resource against its definition."""
    try:
        from fhir.resources.R4B import get_fhir_model_class
    except ImportError:
        raise ConfigError("results as FHIR need fhir.resources, which is not installed: pip install medmm[clinic]") from None

    models = {kind: get_fhir_model_class(kind) for kind in TYPES}

    def check(resource: Element) -> None:
        kind = str(resource["resourceType"])
        try:
            models[kind].model_validate(resource)
        except ValueError:  # whose message holds the resource
            raise DataError(
                f"a row of the results became a {kind} that FHIR does not allow: take parquet, and report a fault of medmm"
            ) from None

    return check
