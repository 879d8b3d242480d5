"""What stands in FILE.json beside an exported graph: how to prepare its inputs, and what its logits mean."""

from medmm import __version__
from medmm.exporting.network import PRESENT, STUDIES, Graph
from medmm.inputs.base import Input
from medmm.package import Package
from medmm.settings import Plain
from medmm.types import Task

FIELDS = {
    "image": "decoded, oriented, resampled and windowed as `settings` say: float in [0, 1], channels first",
    "there": "1 for each image that the study has",
    "number": "(value - centre) / scale, both of `state.scale`, in the order of `meaning.numeric`; 0 where not known",
    "known": "1 where the value of `number` is known",
    "category": "in the order of `meaning.categorical`: 0 no value, 1 a value that stands not in `state.categories`, else 2 + "
    "its place there",
    "ids": "of the tokens by `state.tokenizer`, a JSON text of the package tokenizers; the rest is `state.padding`",
    "mask": "1 for a real token, the real ones first; a note has at least one",
    PRESENT: "whether the study has the input; where not, the other tensors of the input may hold anything",
}
"""Field -> what stands in it."""

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
        "tensors": tensors_of(graph),
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


def tensors_of(graph: Graph) -> list[dict[str, Plain]]:
    """Give name, shape, type and meaning of every tensor that the graph takes, in its order."""
    first = STUDIES if graph.studies is None else graph.studies
    return [
        {
            "name": name,
            "shape": [first, *one.shape[1:]],
            "type": str(one.dtype).removeprefix("torch."),
            "meaning": FIELDS.get(name.rpartition(".")[2], ""),
        }
        for name, one in graph.example.items()
    ]


def _input(one: Input[object]) -> Plain:
    return {**one.portable(), "meaning": one.settings.meaning()}
