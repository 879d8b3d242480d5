"""Input kinds by name, and the step that finds the inputs of every study."""

from collections.abc import Mapping, Sequence

from medmm.cohort.studies import Sources
from medmm.inputs.base import Input, InputSettings
from medmm.inputs.image import ImageSettings
from medmm.inputs.tabular import TabularSettings
from medmm.inputs.text import TextSettings
from medmm.tables import Table
from medmm.types import Study

INPUTS: Table[type[InputSettings]] = Table(
    "input kind",
    {
        "image": ImageSettings,
        "tabular": TabularSettings,
        "text": TextSettings,
    },
)

Inputs = Mapping[str, Input[object]]


def gather(inputs: Inputs, sources: Sources, studies: Sequence[Study]) -> tuple[Study, ...]:
    """Find every input of every study: present, rejected or absent.

    Raises:
        DataError: A table, column or folder that the run file names is missing.
    """
    gathered = list(studies)
    for name, one in inputs.items():
        found = one.gather(sources, studies)
        gathered = [study.with_input(name, what) for study, what in zip(gathered, found, strict=True)]
    return tuple(gathered)
