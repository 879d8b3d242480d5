"""Every error that a user can repair. The command prints one as a single line and ends with status 1."""

from enum import StrEnum


class MedmmError(Exception):
    """Something that the user can repair: says what, where, found against expected, and the repair."""


class ConfigError(MedmmError, ValueError):
    """A run file or an option that cannot be used. A `ValueError`, so that pydantic adds the place in the run file."""


class DataError(MedmmError):
    """Data that cannot be used."""


class Code(StrEnum):
    """Why a file, an input or a study was rejected."""

    NOT_AN_IMAGE = "E_NOT_AN_IMAGE"
    """The file is of another kind: a report, a segmentation, a directory file, no DICOM at all."""

    EMPTY = "E_EMPTY"
    """Nothing readable is there."""

    TRUNCATED = "E_TRUNCATED"
    """The file ends before its data does."""

    MALFORMED = "E_MALFORMED"
    """The file breaks its own standard."""

    HEADER = "E_HEADER"
    """An attribute that the image cannot do without is missing or impossible."""

    NO_DECODER = "E_NO_DECODER"
    """The pixels are compressed in a way that no installed decoder reads."""

    GAP = "E_GAP"
    """A slice is missing, or slices are unevenly spaced."""

    DUPLICATE = "E_DUPLICATE"
    """Two slices stand at one position."""

    TILT = "E_TILT"
    """The slices are shifted against each other (gantry tilt)."""

    MIXED_SERIES = "E_MIXED_SERIES"
    """Files that cannot share a volume: orientation, size, spacing or series differ."""

    MIXED_PATIENTS = "E_MIXED_PATIENTS"
    """Files of two patients stand where one patient was expected."""

    UNSUPPORTED = "E_UNSUPPORTED"
    """A legitimate object that this version does not read."""

    TOO_LARGE = "E_TOO_LARGE"
    """The content exceeds what its header, or the limit, allows."""

    NOT_A_SIGNAL = "E_NOT_A_SIGNAL"
    """The file holds no recorded signal."""

    LEADS = "E_LEADS"
    """A lead that the run needs is missing, or two have one name."""

    RATE = "E_RATE"
    """The sampling rate is missing, impossible, or too low for what the run asks."""

    SHORT = "E_SHORT"
    """The recording is shorter than the run needs."""

    FLAT = "E_FLAT"
    """A lead does not move: it was not connected."""

    CLIPPED = "E_CLIPPED"
    """A lead stays at the end of its range: the recorder was overdriven."""

    NOT_FINITE = "E_NOT_FINITE"
    """A recording holds samples that are missing or no numbers."""

    UNIT = "E_UNIT"
    """A value is in another unit than the run file states."""

    RANGE = "E_RANGE"
    """A value lies outside its plausible range."""

    TYPE = "E_TYPE"
    """A value is not of the declared type."""

    CATEGORY = "E_CATEGORY"
    """A value is none of the declared categories."""

    AMBIGUOUS = "E_AMBIGUOUS"
    """Two records answer where one was expected."""

    RULE = "E_RULE"
    """A rule of the run file rejects the only input that the study has."""

    NO_INPUT = "E_NO_INPUT"
    """A study has none of the inputs of the run."""

    CHANGING = "E_CHANGING"
    """The files of the study changed each time that they were read."""

    TRANSFER = "E_TRANSFER"
    """The study could not be fetched whole from its server."""

    CRASH = "E_CRASH"
    """The reader of this study crashed or was killed."""

    TIMEOUT = "E_TIMEOUT"
    """The reader of this study did not end within the limit."""

    MEMORY = "E_MEMORY"
    """The reader of this study needed more memory than the limit, or the model more than there is."""

    MODEL = "E_MODEL"
    """The model failed on this study, or said something of it that is no number."""


class Rejected(DataError):  # noqa: N818 - the clinic's word for it
    """Data that is there but must not be used. Pickles, so that a worker process can hand it back.

    Args:
        code: The reason.
        where: What was being read, in words that hold no patient: never a path or a file name.
        found: What stands there.
        expected: What would have been right.
        repair: What the user can do about it.
    """

    def __init__(self, code: Code, where: str, found: str, expected: str, repair: str) -> None:
        super().__init__(code, where, found, expected, repair)
        self.code = code
        self.where = where
        self.found = found
        self.expected = expected
        self.repair = repair

    def at(self, place: str) -> "Rejected":
        """Give the same reason with a place before its own."""
        return Rejected(self.code, f"{place}, {self.where}", self.found, self.expected, self.repair)

    def __str__(self) -> str:
        return f"{self.code.value}: {self.where}: found {self.found}, expected {self.expected}: {self.repair}"
