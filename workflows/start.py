"""The encoders that a run starts from: found by address, refused where they have seen who judges."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack

from medmm.cohort.manifest import Manifest
from medmm.cohort.split import Split
from medmm.cohort.studies import CohortSettings
from medmm.config import RunConfig
from medmm.errors import ConfigError, DataError
from medmm.files import digest
from medmm.inputs import Inputs
from medmm.registry import fetched
from medmm.start import Start, load_start
from medmm.types import Study

from .screen import Screen

ADDRESSES = ("runs:/", "models:/")
PLACES = ("encoders", "model")
"""Where the run of `medmm pretrain`, or of `medmm train`, keeps its encoders."""

FEWEST = 10
"""Patients below which a digest over their identifiers could be guessed, and is not kept."""


def open_start(config: RunConfig, screen: Screen) -> Start | None:
    """Load the encoders that a run starts from; None where it starts from scratch.

    Raises:
        ConfigError: There are none at the address, or none of an input of the run.
        DataError: They were changed.
    """
    address = config.training.init
    if address is None:
        return None
    screen.say("loading encoders to start from ...")
    start = _load(address, config)
    if not set(start.inputs) & set(config.inputs):
        raise ConfigError(
            f"training.init has encoders of {', '.join(start.inputs)}, the run has the inputs {', '.join(config.inputs)}: give "
            "inputs that are the same the same name"
        )
    return start


def people_of(cohort: CohortSettings, studies: Sequence[Study], sides: Mapping[int, str]) -> dict[str, str]:
    """Tell two runs of one export apart by their test patients, without saying who anybody is.

    Args:
        cohort: Names the column of the patient.
        studies: All of the studies table.
        sides: Index of a study -> its part.

    Returns:
        "everyone" and "test": one digest each over all identifiers together, "" for fewer than `FEWEST` patients.
    """
    everyone = {study.cells[cohort.patient] for study in studies}
    test = {studies[i].cells[cohort.patient] for i, side in sides.items() if side == "test"}
    return {name: digest(sorted(one)) if len(one) >= FEWEST else "" for name, one in (("everyone", everyone), ("test", test))}


def refuse_seen(
    start: Start, people: Mapping[str, str], studies: Sequence[Study], manifest: Manifest, split: Split, screen: Screen
) -> None:
    """Refuse encoders that learned from a patient of the test part, as far as that can be told; say how far it can.

    Args:
        start: The encoders.
        people: Of the run, from `people_of`.
        studies: All of the studies table.
        manifest: Has the content digests of their files.
        split: Of the run.
        screen: Told what cannot be told.

    Raises:
        DataError: They did.
    """
    repair = "pretrain with this run file, whose split leaves them out, or leave training.init out"
    test = {studies[i].patient_id for i in split["test"]}
    seen = {
        studies[i].patient_id
        for i, files in enumerate(manifest.files)
        if studies[i].patient_id in test and not start.learned_from.isdisjoint(files)
    }
    if seen:
        raise DataError(
            f"the encoders of training.init learned from images of {len(seen)} of {len(test)} test patients: {repair}"
        )
    known = start.facts.get("people", {})
    if people["everyone"] and known.get("everyone") == people["everyone"]:
        if known.get("test") != people["test"]:
            raise DataError(
                "the encoders of training.init come from this export with other test patients, so they learned from some of "
                f"those of this run: {repair}"
            )
        screen.say("the encoders come from this export, and its test patients were left out when they learned")
        return
    screen.say(
        "the encoders come from another export: they learned from no image of a test patient, as far as files tell; whether "
        "one of these patients was there with another image, or with none, cannot be told"
    )


def tell_taken(start: Start, inputs: Inputs, config: RunConfig, screen: Screen) -> None:
    """Say which inputs start from where."""
    taken = sorted(set(inputs) & set(start.inputs))
    scratch, unused = sorted(set(inputs) - set(taken)), sorted(set(start.inputs) - set(taken))
    said = f"{', '.join(taken)}: fitted state and encoder of {shown_address(config.training.init)} ({start.name})"
    said += f"; {', '.join(scratch)} from scratch" if scratch else ""
    screen.say(said + (f"; of no use here: {', '.join(unused)}" if unused else ""))


def shown_address(address: str | None) -> str | None:
    """Give an address as it may be shown and logged: a local folder belongs to the training machine alone."""
    return address if address is None or address.startswith(ADDRESSES) else "a local folder"


def _load(address: str, config: RunConfig) -> Start:
    bare = address.startswith("runs:/") and "/" not in address.removeprefix("runs:/")
    tries = [f"{address}/{place}" for place in PLACES] if bare else [address]
    for one in tries:
        with ExitStack() as stack:
            try:
                folder = stack.enter_context(fetched(one, config.tracking))
            except ConfigError:
                continue
            return load_start(folder)
    raise ConfigError(
        "training.init: there are no encoders at the address: give runs:/RUN_ID of `medmm pretrain` or `medmm train`, "
        "models:/NAME@champion, or the folder that one of them wrote"
    )
