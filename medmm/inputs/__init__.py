"""Input kinds by name, and the step that finds the inputs of every study."""

from collections.abc import Mapping, Sequence

from medmm.cohort.studies import Sources
from medmm.errors import DataError
from medmm.inputs.base import Input, InputSettings
from medmm.inputs.image import ImageSettings
from medmm.inputs.signal import SignalSettings
from medmm.inputs.tabular import TabularSettings
from medmm.inputs.text import TextSettings
from medmm.settings import Plain
from medmm.tables import Table
from medmm.types import Study

INPUTS: Table[type[InputSettings]] = Table(
    "input kind",
    {
        "image": ImageSettings,
        "tabular": TabularSettings,
        "text": TextSettings,
        "signal": SignalSettings,
    },
)

Inputs = Mapping[str, Input[object]]


def open_inputs(settings: Mapping[str, Plain], state: Mapping[str, Plain]) -> Inputs:
    """Make the fitted inputs of a folder that may come from elsewhere, from settings and state that are plain data.

    Raises:
        DataError: An encoder would read something that is not in the folder: a file of this machine, or a model of a hub.
        ConfigError: No such kind.
        ValueError: The settings are not those of the kind.
    """
    inputs: dict[str, Input[object]] = {}
    for name, plain in settings.items():
        one = INPUTS.pick(str(plain["kind"])).model_validate(plain)
        if not one.encoder.is_portable():
            raise DataError(
                f"the encoder of input {name!r} asks for a file or a model outside its folder: make the folder again"
            )
        inputs[name] = one.open(name, state[name])
    return inputs


def gather(inputs: Inputs, sources: Sources, studies: Sequence[Study]) -> tuple[Study, ...]:
    """Find every input of every study: present, rejected or absent.

    Where a record of a patient is broken in an export of records, an input that reads its table is rejected for all of that
    patient's studies: what is left would lack a fact in silence.

    Raises:
        DataError: A table, column or folder that the run file names is missing.
    """
    gathered = list(studies)
    for name, one in inputs.items():
        found = one.gather(sources, studies)
        faults = sources.faults(getattr(one.settings, "table", None) or "")
        for place, what in enumerate(found):
            study = gathered[place]
            fault = faults.get(study.patient_id)
            gathered[place] = study.with_input(name, fault.at(f"{study.key}, input {name}") if fault is not None else what)
    return tuple(gathered)
