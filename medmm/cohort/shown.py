"""What may be shown of a header: words of closed lists only, for any free text can hold a name or a terminal's commands.

Source: DICOM PS3.3, section C.7.3.1.1.1 (modalities); PS3.16, annex L (body parts); PS3.6, annex A (transfer syntaxes, as
pydicom lists them).
"""

MODALITIES = frozenset(
    (
        *("AR", "BDUS", "BI", "BMD", "CR", "CT", "DG", "DX", "ECG", "EPS", "ES", "FA", "FS", "GM", "HC", "IO", "IVOCT"),
        *("IVUS", "LS", "MA", "MG", "MR", "MS", "NM", "OAM", "OCT", "OP", "OPM", "OPT", "OPV", "OT", "PA", "PT", "PX"),
        *("RF", "RG", "RTDOSE", "RTIMAGE", "SEG", "SM", "SR", "ST", "TG", "US", "VF", "XA", "XC"),
    )
)
"""Of the standard, those of images, and some that it has retired."""

BODY_PARTS = frozenset(
    (
        *("ABDOMEN", "ABDOMENPELVIS", "ADRENAL", "ANKLE", "AORTA", "ARM", "AXILLA", "BACK", "BILEDUCT", "BLADDER", "BRAIN"),
        *("BREAST", "BRONCHUS", "BUTTOCK", "CALCANEUS", "CALF", "CAROTID", "CEREBELLUM", "CERVIX", "CHEEK", "CHEST"),
        *("CHESTABDOMEN", "CHESTABDPELVIS", "CIRCLEOFWILLIS", "CLAVICLE", "COCCYX", "COLON", "CORNEA", "CORONARYARTERY"),
        *("CSPINE", "CTSPINE", "DUODENUM", "EAR", "ELBOW", "ESOPHAGUS", "EXTREMITY", "EYE", "FACE", "FEMUR", "FINGER"),
        *("FOOT", "FOREARM", "GALLBLADDER", "HAND", "HEAD", "HEADNECK", "HEART", "HIP", "HUMERUS", "IAC", "ILEUM", "ILIUM"),
        *("JAW", "JEJUNUM", "KIDNEY", "KNEE", "LARYNX", "LEG", "LIVER", "LOWERLIMB", "LSPINE", "LSSPINE", "LUNG"),
        *("MAXILLA", "MEDIASTINUM", "MOUTH", "NECK", "NECKCHEST", "NECKCHESTABDOMEN", "NECKCHESTABDPELV", "NOSE", "ORBIT"),
        *("OVARY", "PANCREAS", "PAROTID", "PATELLA", "PELVIS", "PENIS", "PHARYNX", "PROSTATE", "RADIUS", "RECTUM", "RETINA"),
        *("RIB", "SCALP", "SCAPULA", "SCROTUM", "SELLA", "SHOULDER", "SIJOINT", "SINUS", "SKULL", "SPINE", "SPLEEN"),
        *("SSPINE", "STERNUM", "STOMACH", "TESTIS", "THIGH", "THUMB", "THYMUS", "THYROID", "TIBIAFIBULA", "TLSPINE", "TMJ"),
        *("TOE", "TONGUE", "TRACHEA", "TSPINE", "ULNA", "UPPERLIMB", "URETER", "URETHRA", "UTERUS", "VAGINA", "WHOLEBODY"),
        *("WRIST", "ZYGOMA"),
    )
)
"""Body Part Examined as the standard writes it, that of images of people which hospitals take most."""

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
