"""Studies that are encoded once, so that a model can be asked again and again with one input of theirs changed."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from medmm.dataset.batches import Batches
from medmm.predict import encoded, predict_encoded
from medmm.types import Array, Scores, Tokens

from .subject import Subject


@dataclass(frozen=True)
class Encoded:
    """Some test studies with the tokens of their inputs.

    Attributes:
        subject: The model and all studies.
        rows: (n,) index of each study in all studies.
        present: (n, I) which inputs, in alphabetical order, each has.
        tokens: Input -> tokens of these studies.
        scores: What the model alone says of them as they are, before the rules.
    """

    subject: Subject
    rows: Array
    present: Array
    tokens: Mapping[str, Tokens]
    scores: Scores

    def has(self, name: str) -> Array:
        """Tell which studies (n,) have an input."""
        return np.asarray(self.present[:, self.subject.inputs.index(name)])

    def with_input(self, name: str, tokens: Tokens) -> Scores:
        """Give what the model says of the studies with other tokens of one input."""
        package = self.subject.package
        logits = predict_encoded(package.model, {**self.tokens, name: tokens}, self.subject.config.training.batch_size)
        return replace(self.scores, predicted=package.answer(logits))

    def some(self, places: Array) -> "Encoded":
        """Give the studies at some places (m,)."""
        tokens = {name: Tokens(one.values[places], one.mask[places]) for name, one in self.tokens.items()}
        return replace(
            self, rows=self.rows[places], present=self.present[places], tokens=tokens, scores=self.scores.some(places)
        )


def encode(subject: Subject, places: Array) -> Encoded:
    """Encode some test studies; places (n,) among the test studies, at least one."""
    test = subject.test
    rows, size = test.rows[places], subject.config.training.batch_size
    tokens = {
        name: encoded(subject.package.model, name, Batches({name: subject.prepared[name]}, rows.tolist(), None, size))
        for name in subject.inputs
    }
    return Encoded(subject, rows, test.present[places], tokens, test.raw.some(places))


def draw_patients(patient: Array, most: int, seed: int = 0) -> Array:
    """Draw whole patients until `most` studies are reached, at least one; places (n,) of their studies, rising.

    Args:
        patient: (S,) whole numbers that tell patients apart.
        most: Studies; all are taken where they are no more.
        seed: Of the draw.
    """
    _, place, count = np.unique(patient, return_inverse=True, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(count))
    taken = order[: max(1, int((np.cumsum(count[order]) <= most).sum()))]
    return np.flatnonzero(np.isin(place, taken))


def by_the_model_alone(subject: Subject) -> tuple[str, ...]:
    """Say that rules are left aside, where there are rules that could have changed a probability."""
    if not subject.package.rulebook().moves:
        return ()
    return ("All this is of what the model alone says, before the rules of its package.",)
