"""What pretraining promises: a probe over encoders that learned without labels beats training from scratch on a tenth of them.

Two tables of each patient tell of the same four hidden numbers, and of eight more that are their own; the diagnosis follows
from those that they share. Settings were chosen on seeds 10 to 14.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from medmm.dataset.batches import Batches, TrainingBatches
from medmm.dataset.cache import PreparedInput
from medmm.inputs import Inputs
from medmm.inputs.tabular import TabularSettings
from medmm.losses.cross_entropy import CrossEntropy
from medmm.model import DiagnosisModel, ModelSettings
from medmm.predict import predict
from medmm.training.loop import fit
from medmm.training.pretraining.base import Pretraining
from medmm.training.pretraining.settings import PretrainingSettings
from medmm.training.settings import TrainingSettings
from medmm.training.strategies.base import Situation
from medmm.types import Array

NAMES = ("labs", "vitals")
LEARNING, VALIDATION, TEST = range(500), range(500, 600), range(600, 1000)
LABELLED = range(50)
COLUMNS, SHARED, OWN, WIDTH = 40, 4, 8, 32


def cohort(seed: int) -> tuple[dict[str, PreparedInput], Array]:
    """Draw both tables and the diagnosis of 1,000 patients."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=(1000, SHARED))
    side = rng.choice([-1.0, 1.0], SHARED) * 3 / np.sqrt(SHARED)
    ill = rng.random(1000) < 1 / (1 + np.exp(-shared @ side))
    place = np.stack([np.zeros(1000, int), np.arange(1000)], axis=1)
    tables = {}
    for name in NAMES:
        told = np.concatenate([shared, rng.normal(size=(1000, OWN))], axis=1)
        number = told @ rng.normal(size=(SHARED + OWN, COLUMNS)) / np.sqrt(SHARED + OWN) * 1.5 + rng.normal(
            size=(1000, COLUMNS)
        )
        fields = {"number": number.astype(np.float32), "known": np.ones((1000, COLUMNS), np.uint8)}
        tables[name] = PreparedInput(place, ({**fields, "category": np.zeros((1000, 0), np.int32)},), {}, [])
    return tables, ill[:, None].astype(float)


def fitted() -> Inputs:
    numeric = {f"v{k:02}": {} for k in range(COLUMNS)}
    settings = TabularSettings.model_validate({"table": "x", "numeric": numeric, "encoder": "mlp"})
    row = dict.fromkeys(numeric, "0")
    return {name: settings.open(name).fit([("1", row), ("2", dict.fromkeys(numeric, "1"))]) for name in NAMES}


def gain(seed: int, folder: Path) -> float:
    """Give how much higher the AUROC of a probe over pretrained encoders is than that of training from scratch."""
    tables, truth = cohort(seed)
    inputs = fitted()
    before = PretrainingSettings.model_validate(
        {
            "method": "contrastive",
            "epochs": 20,
            "patience": 20,
            "learning_rate": 1e-3,
            "weight_decay": 0.05,
            "accelerator": "cpu",
        }
    )
    torch.manual_seed(seed)
    learned = Pretraining(before.method, inputs, WIDTH, list(range(1000)))
    nothing = np.full_like(truth, np.nan)
    fit(
        learned,
        lambda epoch: TrainingBatches(
            tables, LEARNING, nothing, 64, inputs=inputs, seed=seed, epoch=epoch, views=before.method.views
        ),
        Batches(tables, VALIDATION, None, 64),
        before,
        folder / "before",
        lambda _epoch, _measures: None,
    )
    areas = {}
    for way in ("supervised", "linear_probe"):
        told = {"epochs": 30, "patience": 10, "learning_rate": 3e-3, "strategy": way, "accelerator": "cpu", "seed": seed}
        settings = TrainingSettings.model_validate(told)
        torch.manual_seed(seed)
        model = DiagnosisModel(
            ModelSettings.model_validate({"width": WIDTH, "fusion": "concat"}), inputs, CrossEntropy("binary", [1.0])
        )
        taken = frozenset(NAMES) if way == "linear_probe" else frozenset()
        for name in taken:
            model.encoders[name].load_state_dict(learned.encoders[name].state_dict())
        fit(
            settings.strategy.build(model, Situation((), taken)),
            lambda epoch: TrainingBatches(tables, LABELLED, truth, 16, inputs=inputs, seed=seed, epoch=epoch),
            Batches(tables, VALIDATION[:10], truth, 64),
            settings,
            folder / way,
            lambda _epoch, _measures: None,
        )
        logits = predict(model, Batches(tables, TEST, None, 64), [frozenset(NAMES)]).logits
        areas[way] = float(roc_auc_score(truth[list(TEST), 0], logits[frozenset(NAMES)][:, 0]))
    return areas["linear_probe"] - areas["supervised"]


@pytest.mark.slow
def test_a_probe_over_pretrained_encoders_beats_training_from_scratch_on_a_tenth_of_the_labels(tmp_path: Path) -> None:
    gains = [gain(seed, tmp_path / str(seed)) for seed in range(5)]
    assert sum(one > 0 for one in gains) >= 4
    assert np.mean(gains) > 0.01
