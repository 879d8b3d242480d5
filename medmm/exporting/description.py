"""What stands in FILE.json beside an exported graph: how to prepare its inputs, and what its logits mean."""

from medmm import __version__
from medmm.exporting.network import PRESENT, STUDIES, Graph
from medmm.inputs import Inputs
from medmm.inputs.base import Input
from medmm.package import Package
from medmm.settings import Plain
from medmm.types import Task

THERE_OR_NOT = "whether the study has the input; where not, the other tensors of the input may hold anything"

ANSWERS: dict[Task, str] = {
    "binary": "probability = sigmoid(logit / temperature), then `calibration`; positive from the threshold on",
    "multilabel": "of each class as for a binary task",
    "multiclass": "probabilities = softmax(logits / temperature), then `calibration`; the likeliest class is decided",
    "ordinal": "of each grade but the lowest: sigmoid(logit / temperature), no larger than of the grade before, then "
    "`calibration`; reached from its threshold on where all lower ones are",
    "regression": "value = logit * deviation + mean, both of `constants`",
    "survival": "risk by each horizon from the logits by the loss and its `constants`; of cox: "
    "1 - exp(-exp(logit + log(baseline)))",
}
"""Task -> how the logits become an answer."""

SEE_PACKAGE = (
    "what the graph leaves out: reading and preparing the data, rules, prediction sets, novelty, and the refusal of what the "
    "model was not made for; the package does them"
)


def describe(package: Package, graph: Graph, files: dict[str, Plain], checked: dict[str, Plain]) -> Plain:
    """Give what a user of the file needs to know, as plain data.

    Args:
        package: Where the network is from.
        graph: As it was traced.
        files: Format and digest of the file.
        checked: What the check against the model found.
    """
    criterion = package.model.criterion
    return {
        "file": files,
        "model": {"name": package.name, "digest": package.digest, "medmm": __version__},
        "check": checked,
        "tensors": tensors_of(graph, package.inputs),
        "logits": {
            "shape": [STUDIES if graph.studies is None else graph.studies, criterion.outputs],
            "type": "float32",
            "meaning": "freed from what the loss has put into them: they speak of the prevalence in the training studies",
        },
        "inputs": {name: _input(one) for name, one in package.inputs.items()},
        "answers": {
            "task": package.target.task,
            "names": list(package.target.names),
            "how": ANSWERS[package.target.task],
            "temperature": package.temperature,
            "calibration": package.calibration.model_dump(mode="json"),
            "thresholds": list(package.thresholds),
            "horizons": list(package.target.horizons),
            "loss": type(criterion).__name__,
            "constants": {name: values.tolist() for name, values in criterion.named_buffers()},
        },
        "note": SEE_PACKAGE,
    }


def tensors_of(graph: Graph, inputs: Inputs) -> list[dict[str, Plain]]:
    """Give name, shape, type and meaning of every tensor that the graph takes, in its order."""
    first = STUDIES if graph.studies is None else graph.studies
    meanings = {name: {**one.meanings, PRESENT: THERE_OR_NOT} for name, one in inputs.items()}
    parts = {tensor: tensor.rpartition(".") for tensor in graph.example}
    return [
        {
            "name": name,
            "shape": [first, *one.shape[1:]],
            "type": str(one.dtype).removeprefix("torch."),
            "meaning": meanings.get(parts[name][0], {}).get(parts[name][2], ""),
        }
        for name, one in graph.example.items()
    ]


def _input(one: Input[object]) -> Plain:
    return {**one.portable(), "meaning": one.settings.meaning()}
