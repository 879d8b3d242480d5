"""Standardised uptake value of PET by body weight: activity concentration over injected activity per gram of body weight.

Source: QIBA, FDG-PET/CT as an imaging biomarker profile, SUVbw; DICOM PS3.3, sections C.8.9.1 (units, decay correction) and
C.8.9.2 (radiopharmaceutical).
"""

from __future__ import annotations

from datetime import datetime, timedelta

from medmm.errors import Code, Rejected
from medmm.readers.dicom_attributes import Attributes
from medmm.readers.dicom_keywords import PHILIPS_SUV

WEIGHT_KG = (0.3, 500.0)
"""Plausible body weights, the smallest premature infant's among them."""

LONGEST_WAIT = timedelta(hours=24)
"""Between injection and scan; longer is a wrong date."""

NEEDED_CORRECTIONS = ("ATTN", "DECY")


def suv_factor(attributes: Attributes) -> float:
    """Give what turns a PET image's values into SUV by body weight, in g/ml.

    Raises:
        Rejected: UNIT where the values are no activity concentration; HEADER where weight, dose or times are missing or
            impossible, or the image lacks attenuation or decay correction.
    """
    units = attributes.text("Units")
    if units == "GML" and attributes.text("SUVType") in ("", "BW"):
        return 1.0
    if units == "CNTS":
        return _vendor_factor(attributes)
    if units != "BQML":
        found, expected = "PET values in another unit", "BQML, or GML by body weight"
        raise Rejected(Code.UNIT, attributes.where, found, expected, "read it without SUV, or export it in BQML")
    missing = [name for name in NEEDED_CORRECTIONS if name not in attributes.words("CorrectedImage")]
    if missing:
        raise attributes.impossible("CorrectedImage", f"no {' and '.join(missing)}", "correction of attenuation and decay")
    weight_kg = _positive(attributes, "PatientWeight")
    if not WEIGHT_KG[0] <= weight_kg <= WEIGHT_KG[1]:
        raise attributes.impossible("PatientWeight", f"{weight_kg:g} kg", f"{WEIGHT_KG[0]} to {WEIGHT_KG[1]} kg")
    items = attributes.items("RadiopharmaceuticalInformationSequence")
    if len(items) != 1:
        raise attributes.missing("RadiopharmaceuticalInformationSequence with one item")
    dose_bq = _positive(items[0], "RadionuclideTotalDose") * _decay(attributes, items[0])
    return weight_kg * 1000 / dose_bq


def _vendor_factor(attributes: Attributes) -> float:
    """Give the factor that Philips writes beside counts."""
    text = attributes.private(*PHILIPS_SUV).strip(b" \0")
    try:
        factor = float(text)
    except ValueError:
        factor = 0.0
    if not 0 < factor < float("inf"):
        found, expected = "PET values in counts", "the vendor's SUV factor beside them"
        raise Rejected(Code.UNIT, attributes.where, found, expected, "read it without SUV, or export it in BQML")
    return factor


def _decay(attributes: Attributes, drug: Attributes) -> float:
    """Give what share of the injected activity is left at the time to which the image was corrected."""
    correction = attributes.text("DecayCorrection")
    if correction == "ADMIN":
        return 1.0
    if correction != "START":
        raise attributes.impossible("DecayCorrection", "neither START nor ADMIN", "an image corrected for decay")
    scan = _time(attributes, "SeriesDate", "SeriesTime")
    if _time(attributes, "AcquisitionDate", "AcquisitionTime") < scan:  # the series was made later, out of another one
        raise attributes.impossible("SeriesTime", "a time after the acquisition", "the start of the scan")
    if drug.text("RadiopharmaceuticalStartDateTime"):
        injected = _parsed(drug, "RadiopharmaceuticalStartDateTime", drug.text("RadiopharmaceuticalStartDateTime"))
    else:
        clock = drug.text("RadiopharmaceuticalStartTime")
        injected = _parsed(drug, "RadiopharmaceuticalStartTime", f"{scan:%Y%m%d}{clock}" if clock else "")
        injected -= timedelta(days=1) if injected > scan else timedelta()
    wait = scan - injected
    if not timedelta() <= wait <= LONGEST_WAIT:
        raise attributes.impossible("RadiopharmaceuticalStartDateTime", f"{wait} before the scan", "0 to 24 hours")
    return float(0.5 ** (wait.total_seconds() / _positive(drug, "RadionuclideHalfLife")))


def _positive(attributes: Attributes, keyword: str) -> float:
    value = attributes.number(keyword)
    if value is None:
        raise attributes.missing(keyword)
    if value <= 0:
        raise attributes.impossible(keyword, "zero or less", "a positive number")
    return value


def _time(attributes: Attributes, date: str, clock: str) -> datetime:
    day, time = attributes.text(date), attributes.text(clock)
    return _parsed(attributes, f"{date} or {clock}", day + time if day and time else "")


def _parsed(attributes: Attributes, keyword: str, text: str) -> datetime:
    """Read a date and time as DICOM writes them: digits of both together, a fraction of a second, no zone."""
    whole, _, fraction = text.partition(".")
    try:
        return datetime.strptime(whole, "%Y%m%d%H%M%S") + timedelta(seconds=float(f"0.{fraction or 0}"))
    except ValueError:
        if not text:
            raise attributes.missing(keyword) from None
        raise attributes.impossible(keyword, "what is no date and time", "YYYYMMDD and HHMMSS") from None
