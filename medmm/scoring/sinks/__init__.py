"""Formats of results by name."""

from medmm.scoring.sinks.base import Report, Sink
from medmm.scoring.sinks.csv import Csv
from medmm.scoring.sinks.dicom_saliency import DicomSaliency
from medmm.scoring.sinks.dicom_sr import DicomSr
from medmm.scoring.sinks.fhir import Fhir
from medmm.scoring.sinks.parquet import Parquet
from medmm.scoring.sinks.worklist import Worklist
from medmm.tables import Table

SINKS: Table[Sink] = Table(
    "sink",
    {
        "parquet": Parquet(),
        "csv": Csv(),
    },
)


REPORTS: Table[Report] = Table(
    "report",
    {
        "worklist": Worklist(),
        "fhir": Fhir(),
        "dicom-sr": DicomSr(),
        "saliency": DicomSaliency(),
    },
)
"""What `medmm score --also` names."""
