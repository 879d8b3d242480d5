"""Names of ECG leads in one spelling, and how a message names a lead without a patient.

Source: ISO/IEEE 11073-10102 (MDC_ECG_LEAD_...), DICOM PS3.16, CID 3001; "Standard texts" of EDF+ (labels such as `ECG aVR`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from medmm.errors import Code, Rejected

if TYPE_CHECKING:
    from collections.abc import Sequence

LIMB_LEADS = ("I", "II", "III", "aVR", "aVL", "aVF")
CHEST_LEADS = (*(f"V{number}" for number in range(1, 10)), *(f"V{number}R" for number in range(3, 8)))
FRANK_LEADS = ("X", "Y", "Z")
STANDARD_LEADS = (*LIMB_LEADS, *CHEST_LEADS, *FRANK_LEADS)

SPELLINGS = {
    **{lead.lower(): lead for lead in STANDARD_LEADS},
    **{f"d{lead.lower()}": lead for lead in ("I", "II", "III")},
    **{f"v{number}r": f"V{number}R" for number in range(3, 8)},
    **{f"rv{number}": f"V{number}R" for number in range(3, 8)},
    **{f"v{axis.lower()}": axis for axis in FRANK_LEADS},
}
"""As written without blanks, in lower case. Spain, France and Latin America write DI, DII and DIII."""

AROUND = re.compile(
    r"(?:mdc_ecg_lead_|(?:ecg|ekg|lead)[\s_:-]+)*(.*?)\s*(?:\((?:einthoven|goldberger|wilson|scpecg|standard)\))?"
)
"""What stands before and after the name of a lead; another word in brackets, such as `modified`, is another lead."""

CHANNEL = re.compile(r"\d{1,3}")


def standard_lead(name: str) -> str:
    """Give the name of a lead as this project writes it; what is no known lead of an ECG stays as it is.

    `i`, `Lead I`, `LEAD I (Einthoven)`, `ECG I` and `MDC_ECG_LEAD_I` are all `I`; `AVR` is `aVR`. `MLII` stays: it is another
    lead than II.
    """
    bare = AROUND.fullmatch(name.strip().lower())
    return name if bare is None else SPELLINGS.get(re.sub(r"[\s_]", "", bare[1]), name)


def standard_leads(names: Sequence[str], where: str) -> tuple[str, ...]:
    """Give the names of all leads of a recording in one spelling.

    Raises:
        Rejected: LEADS where two leads have one name, or one has none.
    """
    found = tuple(standard_lead(name) for name in names)
    for number, name in enumerate(found, start=1):
        if not name.strip():
            raise Rejected(Code.LEADS, where, f"no name of lead {number}", "a name for each lead", "name the lead")
        if name in found[: number - 1]:
            other = found.index(name) + 1
            twice = f"one name for leads {other} and {number}"
            raise Rejected(Code.LEADS, where, twice, "a name for each lead", "rename one, or leave it out")
    return found


def is_known(name: str) -> bool:
    """Tell whether a name is that of an ECG lead or a number: others are free text, in which a patient's name may stand."""
    return name in STANDARD_LEADS or CHANNEL.fullmatch(name) is not None


def said_lead(leads: Sequence[str], index: int) -> str:
    """Name a lead in a message: a free name may hold a patient's, so only known names and numbers are said."""
    name = leads[index]
    return f"lead {name}" if is_known(name) else f"lead {index + 1} of {len(leads)}"
