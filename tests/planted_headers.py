"""Identifiers planted all over DICOM files: each in a place of its own, and each a text that stands nowhere else."""

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

SYNTAXES = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian)
ROWS = 16

TEXTS = (
    "PatientID OtherPatientIDs OtherPatientNames PatientBirthName PatientMotherBirthName PatientAddress "
    "PatientTelephoneNumbers MedicalRecordLocator AccessionNumber StudyID AdmissionID ReferringPhysicianName "
    "ReferringPhysicianAddress PerformingPhysicianName OperatorsName RequestingPhysician "
    "NameOfPhysiciansReadingStudy InstitutionName InstitutionAddress InstitutionalDepartmentName StationName "
    "DeviceSerialNumber StudyDescription SeriesDescription ProtocolName ImageComments PatientComments "
    "AdditionalPatientHistory RequestedProcedureDescription Occupation ResponsiblePerson IssuerOfPatientID "
    "DerivationDescription ContrastBolusAgent FilterType TextValue CountryOfResidence MilitaryRank "
    "PatientReligiousPreference AcquisitionDeviceProcessingDescription DetectorID PlateID GantryID CassetteID "
    "ScheduledStudyLocation LargestMonochromePixelValueComment InsurancePlanIdentification CurrentPatientLocation "
    "PatientInstitutionResidence SpecialNeeds Allergies PregnancyComment"
)
"""Attributes that hold one text each; those that the dictionary does not know are left out below."""

WORDS = ("BodyPartExamined", "PatientSex", "Laterality", "ViewPosition")
"""Attributes of closed lists that hold another word."""

FAMILY, GIVEN = "Zqfam", "Zqgiv"
IDEOGRAPHS, SOUNDS = "山田太郎", "やまだたろう"
OLD_DAY, BORN = "20010908", "19310314"
PATIENT_NUMBER = "88173645"


def token(number: int) -> str:
    return f"zq{number:03d}xv"


def base(syntax: str = ExplicitVRLittleEndian, instance: int = 1, day: str = OLD_DAY) -> Dataset:
    """Give a CT slice of which nothing stands but what an image cannot do without."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID = CTImageStorage
    dataset.SOPInstanceUID = f"1.2.3.77000001.{instance}"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2.3.77000002", "1.2.3.77000003"
    dataset.FrameOfReferenceUID = "1.2.3.77000004"
    dataset.PatientID, dataset.PatientName = PATIENT_NUMBER, f"{FAMILY}^{GIVEN}={IDEOGRAPHS}={SOUNDS}"
    dataset.PatientBirthDate, dataset.StudyDate, dataset.SeriesDate = BORN, day, day
    dataset.StudyTime, dataset.Modality, dataset.ImageType = "101112", "CT", ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.ImagePositionPatient, dataset.ImageOrientationPatient = [0, 0, instance * 2], [1, 0, 0, 0, 1, 0]
    dataset.PixelSpacing, dataset.SliceThickness = [0.5, 0.5], 2
    dataset.RescaleSlope, dataset.RescaleIntercept = 1, -1024
    dataset.InstanceNumber = instance
    dataset.Rows = dataset.Columns = ROWS
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    values = np.random.default_rng(instance).integers(0, 4096, (ROWS, ROWS))
    dataset.add_new("PixelData", "OW", values.astype(">u2" if syntax == ExplicitVRBigEndian else "<u2").tobytes())
    return dataset


def planted(dataset: Dataset) -> dict[str, str]:
    """Plant identifiers in a data set, and give what was planted where."""
    from pydicom.datadict import tag_for_keyword

    found = {
        "family name": FAMILY,
        "given name": GIVEN,
        "ideographs": IDEOGRAPHS,
        "sounds": SOUNDS,
        "date of birth": BORN,
        "date of study": OLD_DAY,
        "patient's number": PATIENT_NUMBER,
        **{f"UID {number}": f"7700000{number}" for number in range(1, 5)},
    }

    def next_token() -> str:
        return token(len(found))

    for keyword in TEXTS.split():
        if keyword != "PatientID" and tag_for_keyword(keyword) is not None:
            found[keyword] = next_token()
            setattr(dataset, keyword, found[keyword])
    for keyword in WORDS:
        found[keyword] = next_token().upper()
        setattr(dataset, keyword, found[keyword])
    places: dict[str, Callable[[str], None]] = {
        "private creator": lambda text: dataset.add_new(0x00190010, "LO", text),
        "private text": lambda text: dataset.add_new(0x00191001, "LO", text),
        "private bytes": lambda text: dataset.add_new(0x00191002, "UN", text.encode()),
        "private sequence": lambda text: dataset.add_new(0x00191003, "SQ", Sequence([_item(PatientComments=text)])),
        "unknown attribute": lambda text: dataset.add_new(0x00289999, "LO", text),
        "unknown group": lambda text: dataset.add_new(0x72310002, "UT", text),
        "curve": lambda text: dataset.add_new(0x50003000, "OW", text.encode()),
        "overlay bits": lambda text: dataset.add_new(0x60003000, "OW", text.encode()),
        "overlay label": lambda text: dataset.add_new(0x60001500, "LO", text),
        "overlay description": lambda text: dataset.add_new(0x60020022, "LO", text),
        "padding": lambda text: dataset.add_new(0xFFFCFFFC, "OB", text.encode()),
        "three deep": lambda text: _put(dataset, "RequestAttributesSequence", text),
        "in a kept sequence": lambda text: _nested(dataset, text),
        "in an icon": lambda text: _icon(dataset, text),
        "meaning of a code": lambda text: _code(dataset, "AnatomicRegionSequence", "51185008", "SCT", text),
        "code of a hospital": lambda text: _code(dataset, "ViewCodeSequence", text, "99HOSP", "view"),
        "scheme of a code": lambda text: _code(dataset, "AnatomicRegionModifierSequence", "12", text, "x"),
        "UID in a reference": lambda text: setattr(
            dataset, "ReferencedImageSequence", Sequence([_item(ReferencedSOPInstanceUID=f"1.2.{text}")])
        ),
        "value of image type": lambda text: setattr(dataset, "ImageType", ["ORIGINAL", "PRIMARY", text.upper()]),
        "moment without a day": lambda text: setattr(dataset, "AcquisitionDateTime", text),
        "a date that is none": lambda text: setattr(dataset, "ContentDate", text),
        "a time that is none": lambda text: setattr(dataset, "ContentTime", text),
        "an age that is none": lambda text: setattr(dataset, "PatientAge", text),
        "digital signature": lambda text: setattr(
            dataset, "DigitalSignaturesSequence", Sequence([_item(CertificateOfSigner=text.encode())])
        ),
        "structured content": lambda text: setattr(dataset, "ContentSequence", Sequence([_item(TextValue=text)])),
        "attributes before": lambda text: setattr(
            dataset, "OriginalAttributesSequence", Sequence([_item(ReasonForTheAttributeModification=text)])
        ),
        "title of who sent it": lambda text: setattr(dataset.file_meta, "SourceApplicationEntityTitle", text),
        "title of who received it": lambda text: setattr(dataset.file_meta, "ReceivingApplicationEntityTitle", text),
        "implementation": lambda text: setattr(dataset.file_meta, "ImplementationVersionName", text),
        "private information": lambda text: _private_information(dataset, text),
    }
    for place, put in places.items():
        found[place] = next_token()
        put(found[place])
    dataset.Manufacturer = f"{FAMILY} Medical"
    dataset.ManufacturerModelName = f"Model {PATIENT_NUMBER}"
    dataset.ConvolutionKernel = GIVEN
    dataset.ScanOptions = FAMILY.upper()
    return found


def write(dataset: Dataset, folder: Path, number: int) -> dict[str, str]:
    """Save a file with what is planted around its data set: in preamble, names, and behind the last byte."""
    found = {name: token(900 + place) for place, name in enumerate(("preamble", "file name", "folder name", "behind the end"))}
    dataset.preamble = found["preamble"].encode().ljust(128, b"\0")
    path = folder / found["folder name"] / f"{found['file name']}_{number}.dcm"
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)
    if dataset.file_meta.TransferSyntaxUID != DeflatedExplicitVRLittleEndian:
        content = found["behind the end"].encode()
        order = ">" if dataset.file_meta.TransferSyntaxUID == ExplicitVRBigEndian else "<"
        if dataset.file_meta.TransferSyntaxUID == ImplicitVRLittleEndian:
            head = struct.pack("<HHI", 0xFFFC, 0xFFFD, len(content))
        else:
            head = struct.pack(f"{order}HH2sHI", 0xFFFC, 0xFFFD, b"OB", 0, len(content))
        with path.open("ab") as file:
            file.write(head + content)
    return found


def _item(**values: object) -> Dataset:
    item = Dataset()
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return item


def _put(dataset: Dataset, keyword: str, text: str) -> None:
    deepest = _item(PersonName=text)
    middle = _item(PersonIdentificationCodeSequence=Sequence([deepest]))
    setattr(dataset, keyword, Sequence([_item(RequestedProcedureCodeSequence=Sequence([middle]))]))


def _private_information(dataset: Dataset, text: str) -> None:
    dataset.file_meta.PrivateInformationCreatorUID = "1.2.3"
    dataset.file_meta.PrivateInformation = text.encode()


def _icon(dataset: Dataset, text: str) -> None:
    icon = _item(Rows=1, Columns=8)
    icon.add_new(0x7FE00010, "OB", text.encode())
    dataset.IconImageSequence = Sequence([icon])


def _nested(dataset: Dataset, text: str) -> None:
    content = _item(FrameComments=text, StackID="1", InStackPositionNumber=1)
    dataset.SharedFunctionalGroupsSequence = Sequence([_item(FrameContentSequence=Sequence([content]))])


def _code(dataset: Dataset, keyword: str, value: str, scheme: str, meaning: str) -> None:
    code = _item(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)
    setattr(dataset, keyword, Sequence([code]))
