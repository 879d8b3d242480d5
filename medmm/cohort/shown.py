"""What may be shown of a header: words of closed lists only, for any free text can hold a name or a terminal's commands.

Source: DICOM PS3.3, section C.7.3.1.1.1 (modalities); PS3.6, annex A (transfer syntaxes, as pydicom lists them).
"""

MODALITIES = frozenset(
    (
        *("AR", "BDUS", "BI", "BMD", "CR", "CT", "DG", "DX", "ECG", "EPS", "ES", "FA", "FS", "GM", "HC", "IO", "IVOCT"),
        *("IVUS", "LS", "MA", "MG", "MR", "MS", "NM", "OAM", "OCT", "OP", "OPM", "OPT", "OPV", "OT", "PA", "PT", "PX"),
        *("RF", "RG", "RTDOSE", "RTIMAGE", "SEG", "SM", "SR", "ST", "TG", "US", "VF", "XA", "XC"),
    )
)
"""Of the standard, those of images, and some that it has retired."""

VENDORS = (
    *("Agfa", "Bruker", "Canon", "Carestream", "Elekta", "Esaote", "Fuji", "Fujifilm", "GE", "Hitachi", "Hologic", "Kodak"),
    *("Konica", "Mindray", "Neusoft", "Philips", "PMOD", "Samsung", "Shimadzu", "Siemens", "Toshiba", "UIH", "United Imaging"),
    "Varian",
)
"""How the makers that hospitals own most begin Manufacturer."""

OTHER, UNSTATED = "other", "not stated"


def shown_modality(text: str) -> str:
    """Give a modality of the standard as it is."""
    return text if text in MODALITIES else OTHER if text else UNSTATED


def shown_vendor(text: str) -> str:
    """Give the maker that Manufacturer begins with."""
    folded = text.casefold()
    begins = (maker for maker in VENDORS if folded.startswith(maker.casefold()) and not folded[len(maker) :][:1].isalpha())
    return next(begins, OTHER if text else UNSTATED)


def shown_syntax(uid: str) -> str:
    """Give the name of a transfer syntax of the standard."""
    from pydicom.config import IGNORE
    from pydicom.uid import UID

    known = UID(uid, validation_mode=IGNORE)  # pydicom would warn of a wrong one, with its text
    return known.name if known.is_transfer_syntax and not known.is_private else OTHER
