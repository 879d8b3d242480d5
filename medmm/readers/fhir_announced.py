"""Whether a FHIR export is whole: every page of a search is there, and as many resources as the manifest of Bulk Data says.

Source: FHIR R4 (4.0.1), section 3.1.1.5 (paging); Bulk Data Access 2.0, the output manifest.
"""

from __future__ import annotations

from collections import Counter

from medmm.errors import Code, Rejected
from medmm.readers.fhir_values import children, text
from medmm.readers.strict_json import Json

COUNT_DIGITS = 15


class Announced:
    """What files of an export say of the others, against what came."""

    def __init__(self) -> None:
        self._pages: set[str] = set()
        self._next_pages: set[str] = set()
        self._counted: dict[str, int] = {}
        self._taken: Counter[str] = Counter()

    def manifest(self, manifest: Json) -> None:
        """Take what a manifest says of the resources; the last one holds."""
        self._counted = {}
        for one in children(manifest, "output"):
            kind, count = text(one, "type"), str(one.get("count", ""))
            if count.isdigit() and len(count) <= COUNT_DIGITS:
                self._counted[kind] = self._counted.get(kind, 0) + int(count)

    def page(self, bundle: Json) -> None:
        """Take what a page of a search says of itself and the next one."""
        for link in children(bundle, "link"):
            relation = text(link, "relation")
            if relation in ("self", "next"):
                (self._pages if relation == "self" else self._next_pages).add(text(link, "url"))

    def take(self, kind: str) -> None:
        """Count a resource of Bulk Data."""
        self._taken[kind] += 1

    def check(self) -> None:
        """Compare what came with what was announced.

        Raises:
            Rejected: TRUNCATED where a page or a resource is missing.
        """
        if missing := len(self._next_pages - self._pages):
            raise _missing(f"no next page of {missing} bundles", "every page", "save all pages of the search")
        for kind, count in self._counted.items():
            if self._taken[kind] != count:
                found = f"{self._taken[kind]} resources of a type"
                raise _missing(found, f"{count}, as its manifest says", "download every file of the export")


def _missing(found: str, expected: str, repair: str) -> Rejected:
    return Rejected(Code.TRUNCATED, "the export", found, expected, repair)
