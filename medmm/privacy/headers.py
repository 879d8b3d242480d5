"""The header of a DICOM file without what tells of people: only what the table of allowed attributes lets through.

Source: DICOM PS3.15, annex E (confidentiality profiles); PS3.5, section 6.2 (forms of values); PS3.16, CID 7050 (methods).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from medmm.cohort.ages import COMPLETED, age_of_header
from medmm.privacy.allowed import NEEDED, Action, Allowed, allowed
from medmm.privacy.dates import shifted_date, shifted_moment
from medmm.privacy.forms import (
    FORMS,
    NUMBERS,
    OWN_FORMS,
    BadValueError,
    may_be_so_many,
    one_or_several,
    registered,
    representations,
    shown_age,
    terms_within,
    text_of,
    texts_of,
)
from medmm.privacy.key import Key
from medmm.privacy.people import Person
from medmm.privacy.terms import SCHEMES, SPELLED, TERMS, TRADE

if TYPE_CHECKING:
    from pydicom.dataelem import DataElement
    from pydicom.dataset import Dataset

IMPLEMENTATION = "2.25.214365870921436587092143658709214365"
"""Implementation Class UID of files that are written here."""

METHOD = "medmm: allow-list of attributes"
METHODS = (
    ("113100", "Basic Application Confidentiality Profile"),
    ("113105", "Clean Descriptors Option"),
    ("113108", "Retain Patient Characteristics Option"),
    ("113107", "Retain Longitudinal Temporal Information Modified Dates Option"),
)
"""What is done, in the codes of the standard (PS3.16, CID 7050)."""

DEPTH_LIMIT = 16


def cleaned(source: Dataset, key: Key, person: Person) -> Dataset:
    """Give a data set of what is allowed of another, marked as without identifiers, ready to be saved.

    The pixels are those of the source, to the byte, in the same transfer syntax.

    Args:
        source: As it was read.
        key: What makes pseudonyms, UIDs and dates.
        person: Whose it is.

    Raises:
        BadValueError: A number that says how the pixels are to be read is none.
    """
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import UID

    made = _Cleaner(key, person).dataset(source, 0)
    if not made.get("PatientAge") and (
        age := age_of_header("", *(_plain(source, one) for one in ("PatientBirthDate", "StudyDate")))
    ):
        made.PatientAge = f"{int(age):03d}Y" if age >= COMPLETED else f"{int(age * 12):03d}M"
    _mark(made)
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = source.file_meta.TransferSyntaxUID
    meta.MediaStorageSOPClassUID = made.SOPClassUID
    meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    meta.ImplementationClassUID = UID(IMPLEMENTATION)
    meta.ImplementationVersionName = "MEDMM"
    made.file_meta = meta
    return made


def _plain(source: Dataset, keyword: str) -> str:
    try:
        return str(source.get(keyword, ""))
    except (ValueError, TypeError, NotImplementedError):
        return ""


def _mark(made: Dataset) -> None:
    """Say that, and how, identifiers were taken out."""
    from pydicom.dataset import Dataset

    made.PatientIdentityRemoved = "YES"
    made.DeidentificationMethod = METHOD
    made.LongitudinalTemporalInformationModified = "MODIFIED"
    codes = []
    for value, meaning in METHODS:
        code = Dataset()
        code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, "DCM", meaning
        codes.append(code)
    made.DeidentificationMethodCodeSequence = codes


def _is_word(tag: int) -> bool:
    return representations(tag) <= {"CS", "SH", "LO"}


@dataclass(frozen=True)
class _Cleaner:
    key: Key
    person: Person

    def dataset(self, source: Dataset, depth: int) -> Dataset:
        """Give what is allowed of a data set or an item."""
        from pydicom.dataset import Dataset

        made = Dataset()
        for tag in sorted(source.keys()):
            rule = allowed().get(int(tag))
            if rule is None:
                continue
            try:
                element = source[tag]
                if element.VR not in representations(int(tag)):
                    raise BadValueError
                self._put(made, element, rule, depth)
            except (ValueError, TypeError, AttributeError, KeyError, NotImplementedError, OverflowError):
                if rule.why in NEEDED and rule.action is not Action.EMPTY and not _is_word(int(tag)):
                    raise BadValueError from None
        return made

    def _put(self, made: Dataset, element: DataElement, rule: Allowed, depth: int) -> None:
        from pydicom.dataelem import DataElement

        if rule.action is Action.BYTES:
            made.add(element)
            return
        if rule.action in (Action.SEQUENCE, Action.CODE):
            if depth < DEPTH_LIMIT:
                coded = rule.action is Action.CODE
                items = [self._code(one) if coded else self.dataset(one, depth + 1) for one in element.value]
                items = [one for one in items if len(one) or not coded]
                made.add(DataElement(element.tag, "SQ", items))
            return
        value = self._value(element, rule)
        made.add(DataElement(element.tag, element.VR, value, already_converted=value is element.value))

    def _value(self, element: DataElement, rule: Allowed) -> object:
        """Give what stands in the place of a value.

        Raises:
            BadValueError: Nothing does.
        """
        days = self.key.days(self.person.patient_id)
        ways: dict[Action, Callable[[], object]] = {
            Action.EMPTY: lambda: "",
            Action.PATIENT: lambda: self.key.pseudonym("patient", self.person.patient_id),
            Action.STUDY: lambda: self.key.pseudonym("study", text_of(element)) if text_of(element) else "",
            Action.DATE: lambda: (shifted_moment if element.VR == "DT" else shifted_date)(text_of(element), days),
            Action.AGE: lambda: shown_age(text_of(element)),
            Action.UID: lambda: one_or_several([self._uid(text) for text in texts_of(element) if text]),
            Action.TERM: lambda: one_or_several([text if text.upper() in rule.terms else "" for text in texts_of(element)]),
            Action.WORDS: lambda: " ".join(terms_within(text_of(element), rule.terms)),
        }
        return ways.get(rule.action, lambda: self._kept(element))()

    def _kept(self, element: DataElement) -> object:
        """Give a value as it is, where it is of its form and names nobody."""
        if element.VM and not may_be_so_many(element.VM, int(element.tag)):
            raise BadValueError
        if element.VR in NUMBERS:
            return element.value
        for text in texts_of(element):
            if re.fullmatch(OWN_FORMS.get(element.keyword, FORMS[element.VR]), text) is None:
                raise BadValueError
            if element.keyword in SPELLED and not _is_spelled(text):
                raise BadValueError
            if element.VR in ("CS", "SH", "LO") and text.upper() not in TERMS and self._names(text):
                raise BadValueError
        return element.value

    def _names(self, text: str) -> bool:
        return self.person.is_named_in(" ".join(word for word in re.split(r"[\s_]+", text) if word.upper() not in TERMS))

    def _uid(self, text: str) -> str:
        return text if text in registered() else self.key.uid(text)

    def _code(self, source: Dataset) -> Dataset:
        """Give a code of a public scheme without its meaning in words, which may be anybody's; of another scheme nothing.

        The standard asks for a meaning (type 1): the code itself stands there.
        """
        from pydicom.dataset import Dataset

        made = Dataset()
        value, scheme = str(source.get("CodeValue", "")).strip(), str(source.get("CodingSchemeDesignator", "")).strip()
        if re.fullmatch(r"[A-Za-z0-9.{}/-]{1,16}", value) and scheme in SCHEMES and not self.person.is_named_in(value):
            made.CodeValue, made.CodingSchemeDesignator, made.CodeMeaning = value, scheme, value
        return made


def _is_spelled(text: str) -> bool:
    """Tell whether the longer words of a text are known, so that it names a thing and no person."""
    return {word.upper() for word in re.findall(r"[A-Za-z]{4,}", text)} <= TERMS | TRADE
