"""What a structured report says of a study, as content items of TID 1500, Measurement Report.

A group of measurements for each answer, with the images that the model has read; what holds for the whole study (disclaimer,
whether and why the model abstains, what rules said) as qualitative evaluations of the document.

Source: DICOM PS3.16, TID 1500, 1501, 1002 and 4019.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import medmm.scoring.sinks.dicom_codes as codes
from medmm import __version__
from medmm.doubts import ABSTAIN as ABSTAIN_COLUMN
from medmm.doubts import SEPARATOR, WHY
from medmm.evaluation.answers import PREFIXES
from medmm.evaluation.grades import GRADE as GRADE_COLUMN
from medmm.package import Package
from medmm.scoring.sinks.base import Row
from medmm.scoring.sinks.dicom_codes import Concept, own_concept, uid_of, unit_of
from medmm.scoring.sinks.dicom_source import LONG, Source, one_line
from medmm.types import CLASS_TASKS

if TYPE_CHECKING:
    from highdicom.sr import Measurement, MeasurementReport, MeasurementsAndQualitativeEvaluations, QualitativeEvaluation

DISCLAIMER = (
    "Research use only. This is the answer of a statistical model, not a diagnosis. No physician has reviewed it. "
    "It must not be used to decide on the care of a patient."
)

TRACES = {"alerts": codes.ALERT, "flags": codes.FLAG, "rules": codes.RULE}
"""Column of a model with rules -> what its texts are."""


def measurement_report(source: Source, row: Row, package: Package) -> MeasurementReport:
    """Give the content of the report of a scored study."""
    from highdicom.sr import (
        DeviceObserverIdentifyingAttributes,
        MeasurementReport,
        ObservationContext,
        ObserverContext,
    )
    from pydicom.sr.codedict import codes as standard

    model = model_name(package)
    device = DeviceObserverIdentifyingAttributes(
        uid=uid_of("device", package.digest),
        name=f"medmm {model}",
        manufacturer_name="medmm",
        model_name=model,
        serial_number=package.digest,
    )
    report = MeasurementReport(
        ObservationContext(observer_device_context=ObserverContext(standard.DCM.Device, device)),
        codes.PROCEDURES.get(source.modality, codes.IMAGING).coded(),
        [_group(source, row, package, name) for name in package.target.names],
    )
    report[0].ContentSequence.append(_evaluations(row))
    return report


def model_name(package: Package) -> str:
    """Give the name of the model, as it may stand in a document."""
    return one_line(package.name, LONG - len("medmm ")) or "unnamed"


def _group(source: Source, row: Row, package: Package, name: str) -> MeasurementsAndQualitativeEvaluations:
    """Give one answer: what is measured, and what is said of it."""
    from highdicom.sr import (
        AlgorithmIdentification,
        MeasurementsAndQualitativeEvaluations,
        SourceImageForMeasurementGroup,
        TrackingIdentifier,
    )

    images = [SourceImageForMeasurementGroup(one.sop_class, one.uid) for one in source.images]
    return MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(
            uid_of("answer", source.study, package.digest, name), identifier=one_line(name, LONG)
        ),
        finding_type=own_concept(name).coded(),
        algorithm_id=AlgorithmIdentification(
            model_name(package), package.digest, parameters=list(_parameters(row, package, name)), manufacturer="medmm"
        ),
        measurements=list(_measurements(row, package, name)),
        qualitative_evaluations=list(_said(row, name)),
        source_images=images,
    )


def _parameters(row: Row, package: Package, name: str) -> Iterator[str]:
    yield f"medmm {__version__}, computed in {row.get('computed_in') or 'fp32'}"
    if package.thresholds and package.target.task in CLASS_TASKS:
        yield f"threshold {package.thresholds[package.target.names.index(name)]:.6g}"


def _measurements(row: Row, package: Package, name: str) -> Iterator[Measurement]:
    target = package.target
    value = row[f"{PREFIXES.get(target.task, 'probability')}_{name}"]
    if target.task != "regression":
        yield _number(codes.PROBABILITY, value, codes.NO_UNITS)
        return
    unit = unit_of(target.unit)
    yield _number(own_concept(name), value, unit)
    for column, concept in (("set_low", codes.INTERVAL_LOW), ("set_high", codes.INTERVAL_HIGH)):
        if row.get(column) is not None:
            yield _number(concept, row[column], unit)


def _number(concept: Concept, value: object, unit: Concept) -> Measurement:
    from highdicom.sr import Measurement

    number = float(str(value))
    assert math.isfinite(number)  # a study of which the model says no number is rejected
    return Measurement(concept.coded(), number, unit.coded())  # exact as a Floating Point Value, rounded as text beside it


def _said(row: Row, name: str) -> Iterator[QualitativeEvaluation]:
    said = {
        f"decision_{name}": codes.DECISION,
        f"set_{name}": codes.POSSIBLE,
        f"set_has_{name}": codes.POSSIBLE,
        f"set_not_{name}": codes.OPPOSITE_POSSIBLE,
    }
    from highdicom.sr import QualitativeEvaluation

    for column, concept in said.items():
        if row.get(column) is not None:
            yield QualitativeEvaluation(concept.coded(), (codes.YES if row[column] else codes.NO).coded())


def _evaluations(row: Row) -> object:
    """Give what holds for the whole study."""
    from highdicom.sr import CodeContentItem, ContainerContentItem, ContentSequence, RelationshipTypeValues, TextContentItem

    within = RelationshipTypeValues.CONTAINS
    container = ContainerContentItem(codes.EVALUATIONS.coded(), relationship_type=within)
    content = ContentSequence()
    content.append(TextContentItem(codes.DISCLAIMER.coded(), DISCLAIMER, within))
    for concept, value in _coded(row):
        content.append(CodeContentItem(concept.coded(), value.coded(), within))
    for concept, text in _texts(row):
        content.append(TextContentItem(concept.coded(), text, within))
    container.ContentSequence = content
    return container


def _coded(row: Row) -> Iterator[tuple[Concept, Concept]]:
    if row.get(GRADE_COLUMN) is not None:
        yield codes.GRADE, own_concept(str(row[GRADE_COLUMN]))
    if row.get(ABSTAIN_COLUMN) is not None:
        yield codes.ABSTAIN, codes.YES if row[ABSTAIN_COLUMN] else codes.NO


def _texts(row: Row) -> Iterator[tuple[Concept, str]]:
    for reason in filter(None, str(row.get(WHY) or "").split(SEPARATOR)):
        yield codes.ABSTAIN_WHY, one_line(reason)
    for column, concept in TRACES.items():
        for text in _list(row.get(column)):
            yield concept, one_line(text)
    yield codes.INPUTS, one_line(", ".join(_list(row.get("inputs")))) or "none"


def _list(cell: object) -> Sequence[str]:
    return [str(one) for one in cell if str(one).strip()] if isinstance(cell, list | tuple) else []
