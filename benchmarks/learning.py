"""What ways to fine-tune are worth where the truth is planted: scores, not seconds.

Seeds 0 to 4, each a cohort of its own. How strong the cohorts' signals are and all hyperparameters were chosen on seeds 10 to
14 alone. The validation studies of each cohort choose epochs and thresholds; labels of the test studies choose nothing.
"""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from benchmarks.fusion import Finding
from benchmarks.planted import (
    SIDE,
    SITES,
    Measure,
    Planted,
    area,
    draw_cells,
    draw_images,
    draw_notes,
    draw_patients,
    image_input,
    joined,
    learn,
    loop,
    new_model,
    of_sites,
    over_seeds,
    plant,
    said,
    scores_of,
    seeds_of,
    strategy,
    tuned,
    worst_gap,
)
from medmm.dataset.batches import Batches
from medmm.encoders.adapted import Adapted
from medmm.evaluation.decision import DecisionSettings, choose_thresholds, decide
from medmm.evaluation.intervals import difference, interval
from medmm.evaluation.metrics import share
from medmm.inputs.image import ImageSettings
from medmm.training.attack import AttackSettings, attacked
from medmm.training.strategies.base import StrategySettings
from medmm.types import Array, Scores

SEEDS = range(5)
SUPERVISED = strategy("supervised")
BY_SITE: dict[str, StrategySettings] = {
    "supervised": SUPERVISED,
    "domain_adversarial": strategy("domain_adversarial", column="site", weight=2.0, ramp_epochs=3),
    "group_dro": strategy("group_dro", columns=["site"]),
}
MARKED = {"A": (0.05, 0.95), "B": (0.05, 0.95), "C": (0.95, 0.05)}
"""Site -> how often the images of the healthy and of the sick bear the mark."""

UNLABELLED: dict[str, StrategySettings] = {name: strategy(name) for name in ("mean_teacher", "fixmatch", "pseudo_labels")}
LABELLED = 0.1
"""Share of the training patients whose studies have a label."""

BOUND = {"image": 0.02, "embedding": 0.2}
JUDGE = AttackSettings.model_validate({**BOUND, "steps": 10})
HARDENED: dict[str, StrategySettings] = {
    "supervised": SUPERVISED,
    **{
        name: strategy("adversarial", method=name, inputs=["chest"], attack={**BOUND, "steps": 3})
        for name in ("fgsm", "pgd", "free")
    },
}

KINDS = 4
"""Discs, rings, crosses and squares."""

CHANNELS = 32
RATES = {"all weights": 3e-4, "lora": 2e-3, "linear_probe": 2e-3}
ADAPTED: dict[str, StrategySettings] = {
    "all weights": SUPERVISED,
    "lora": strategy("lora", rank=6, alpha=24),
    "linear_probe": strategy("linear_probe"),
}


def run() -> list[Finding]:
    """Plant, train, judge."""
    return [shortcut(), few_labels(), attack(), adaptation()]


def shortcut() -> Finding:
    """Table the site shortcut."""
    scores = site_shortcut(SEEDS)
    rows: list[tuple[object, ...]] = []
    for name, one in scores.items():
        sites = [_value(lambda s, w, i=i: of_sites(s, w)[i], one) for i in range(len(SITES))]  # type: ignore[misc]
        rows.append(
            (
                name,
                str(_estimate(area, one)),
                *(f"{site:.3f}" for site in sites),
                str(_estimate(worst_gap, one)),
                *_against(worst_gap, scores["supervised"], one, name),
            )
        )
    columns = ("way", "AUROC", *(f"site {site}" for site in SITES), "worst-site gap", "gap shrunk by", "seeds")
    said_of = "Gap: AUROC of all test studies less that inside the worst site."
    return Finding(f"Site shortcut: {_counted(scores)}", columns, rows, said_of)


def few_labels() -> Finding:
    """Table what studies without a label add."""
    scores = ten_percent(SEEDS)
    rows = [(name, str(_estimate(area, one)), *_against(area, one, scores["supervised"], name)) for name, one in scores.items()]
    title = f"Labels for {LABELLED:.0%} of the training patients: {_counted(scores)}"
    return Finding(title, ("way", "AUROC", "gain over supervised", "seeds"), rows, "")


def attack() -> Finding:
    """Table robustness and its price."""
    found = attacks(SEEDS)
    rows: list[tuple[object, ...]] = []
    for name, by_condition in found.items():
        for condition, one in by_condition.items():
            gained = _against(accuracy, one, found["supervised"][condition], name)
            rows.append((name, condition, str(_estimate(accuracy, one)), *gained))
    title = f"Accuracy while one input is attacked in {JUDGE.steps} steps: {_counted(found['supervised'])}"
    return Finding(title, ("way", "attacked", "accuracy", "more than supervised", "seeds"), rows, "")


def adaptation() -> Finding:
    """Table low-rank adaptation beside fine-tuning of all weights."""
    scores, learning = low_rank(SEEDS)
    every = learning["all weights"]
    rows = [
        (
            name,
            str(_estimate(area, one)),
            *_against(area, one, scores["all weights"], name),
            f"{learning[name]:,}",
            f"{learning[name] / every:.1%}",
        )
        for name, one in scores.items()
    ]
    columns = ("way", "AUROC", "more than all weights", "seeds", "weights that learn", "share")
    return Finding(f"A pretrained backbone on another task: {_counted(scores)}", columns, rows, "")


# What is planted, trained and asked; tests call it with fewer patients and epochs.


def site_shortcut(
    seeds: Sequence[int], train: int = 400, test: int = 600, epochs: int = 12, ways: Mapping[str, StrategySettings] = BY_SITE
) -> dict[str, Scores]:
    """Train where a mark in the image tells of the diagnosis at two sites, and of its opposite at a third, smaller one."""
    found: dict[str, list[Scores]] = {name: [] for name in ways}
    for seed in seeds:
        planted = marked_cohort(seed, train, test)
        for name, way in ways.items():
            found[name].append(said(planted, learn(planted, new_model(planted, seed), loop(seed, way, epochs))))
    return {name: joined(each) for name, each in found.items()}


def marked_cohort(seed: int, train: int, test: int) -> Planted:
    """Draw it: at the test as many patients of each site, half of them sick."""
    rng = np.random.default_rng([seed, 1])
    shares, prevalence = (0.42, 0.42, 0.16), (0.6, 0.5, 0.5)
    patients = draw_patients(
        rng,
        {"train": train, "validation": train // 3, "test": test},
        {"train": prevalence, "validation": prevalence},
        {"train": shares, "validation": shares},
    )
    chance = [MARKED[SITES[site]][sick] for site, sick in zip(patients.site, patients.sick, strict=True)]
    mark = rng.random(len(chance)) < chance
    lesion = 0.18 * patients.sick * rng.uniform(0.3, 1, len(mark))
    return plant(patients, draw_images(rng, lesion, 0.4 * mark), draw_cells(rng, patients, (0.8, 0.6)))


def ten_percent(
    seeds: Sequence[int],
    train: int = 800,
    test: int = 400,
    epochs: int = 40,
    ways: Mapping[str, StrategySettings] = UNLABELLED,
    *,
    bound: bool = True,
) -> dict[str, Scores]:
    """Train on the labels of a tenth of the patients, supervised and with the others beside them without a label.

    Args:
        seeds: Of the cohorts.
        train: Training patients.
        test: Test patients.
        epochs: Passes over the labelled studies; a tenth as many where all have a label.
        ways: Which learn without labels.
        bound: Also train supervised on the labels of all, which is what no way can hope to pass.
    """
    named = {"supervised": SUPERVISED, **ways, **({"supervised, all labels": SUPERVISED} if bound else {})}
    found: dict[str, list[Scores]] = {name: [] for name in named}
    for seed in seeds:
        for name, way in named.items():
            every = name not in {"supervised", *ways}
            planted = worded_cohort(seed, train, test, 1.0 if every else LABELLED)
            settings = loop(seed, way, max(1, round(epochs * LABELLED)) if every else epochs)
            found[name].append(said(planted, learn(planted, new_model(planted, seed), settings)))
    return {name: joined(each) for name, each in found.items()}


def worded_cohort(seed: int, train: int, test: int, labelled: float) -> Planted:
    """Draw notes and cells each of which says little."""
    rng = np.random.default_rng([seed, 2])
    known = round(train * labelled)
    patients = draw_patients(rng, {"train": known, "unlabelled": train - known, "validation": 60, "test": test})
    notes = draw_notes(rng, patients.sick, words=300, telling=300, tilt=0.27, length=40)
    return plant(patients, cells=draw_cells(rng, patients, (0.4,) * 8), notes=notes)


def attacks(
    seeds: Sequence[int],
    train: int = 300,
    test: int = 200,
    epochs: int = 12,
    ways: Mapping[str, StrategySettings] = HARDENED,
    judge: AttackSettings = JUDGE,
) -> dict[str, dict[str, Scores]]:
    """Train where the image bears a fine grain, which tells much and is easily changed, beside a lesion; then attack.

    Returns:
        Way -> nothing or the input attacked -> decisions of 0 and 1 in place of probabilities.
    """
    found: dict[str, dict[str, list[Scores]]] = {name: {} for name in ways}
    for seed in seeds:
        planted = grained_cohort(seed, train, test)
        for name, way in ways.items():
            passes = epochs if way.repeats == 1 else max(1, 2 * epochs // way.repeats)
            model = learn(planted, new_model(planted, seed), loop(seed, way, passes))
            thresholds = choose_thresholds(said(planted, model, "validation"), "binary", DecisionSettings())
            rows = planted.parts["test"]
            asked = attacked(model.eval(), Batches(planted.prepared, rows, planted.target, 64), judge)
            for condition, logits in {"nothing": asked.clean, **asked.robust}.items():
                scores = scores_of(planted, rows, logits.numpy())
                found[name].setdefault(condition, []).append(_decided(scores, thresholds))
    return {name: {one: joined(each) for one, each in by.items()} for name, by in found.items()}


def grained_cohort(seed: int, train: int, test: int) -> Planted:
    """Draw images, cells and notes; the grain is right in nine of ten studies."""
    rng = np.random.default_rng([seed, 3])
    patients = draw_patients(rng, {"train": train, "validation": 100, "test": test})
    right = np.where(rng.random(len(patients.sick)) < 0.9, 1, -1)
    lesion = 0.4 * patients.sick * rng.uniform(0.3, 1, len(right))
    images = draw_images(rng, lesion, grain=0.015 * (2 * patients.sick - 1) * right)
    notes = draw_notes(rng, patients.sick, words=60, telling=30, tilt=0.25, length=25)
    return plant(patients, images, draw_cells(rng, patients, (0.7, 0.7, 0.5)), notes)


def low_rank(
    seeds: Sequence[int],
    train: int = 150,
    test: int = 400,
    epochs: int = 12,
    sources: int = 3000,
    ways: Mapping[str, StrategySettings] = ADAPTED,
) -> tuple[dict[str, Scores], dict[str, int]]:
    """Train a backbone on shapes, then fine-tune it to tell rings from discs and squares, all of it or adapters alone.

    Returns:
        Scores of each way, and how many weights of its whole network get a gradient.
    """
    found: dict[str, list[Scores]] = {name: [] for name in ways}
    learning: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as temporary:
        weights = Path(temporary) / "shapes.safetensors"
        pretrain(weights, sources)
        for seed in seeds:
            drawn = shaped_cohort(seed, train, test, weights)
            for name, way in ways.items():
                planted = tuned(drawn, way)
                model = new_model(planted, seed)
                learning[name] = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
                found[name].append(
                    said(planted, learn(planted, model, loop(seed, way, epochs, batch_size=16, learning_rate=RATES[name])))
                )
    return {name: joined(each) for name, each in found.items()}, learning


def shaped_cohort(seed: int, train: int, test: int, weights: Path) -> Planted:
    """Draw faint shapes, dark ones, and cells: the sick have rings, the others discs or squares."""
    rng = np.random.default_rng([seed, 4])
    patients = draw_patients(rng, {"train": train, "validation": 80, "test": test})
    kind = np.where(patients.sick > 0, 1, rng.choice([0, 3], len(patients.sick)))
    images = draw_shapes(rng, kind, -rng.uniform(0.1, 0.25, len(kind)))
    return plant(patients, images, draw_cells(rng, patients, (0.5, 0.5)), image=backbone(weights))


def draw_shapes(rng: np.random.Generator, kind: Array, contrast: Array) -> Array:
    """Draw (S, 1, SIDE, SIDE) noise with a disc, ring, cross or square (S,) somewhere in it."""
    row, column = np.mgrid[:SIDE, :SIDE]
    centre, radius = rng.uniform(7, SIDE - 7, (len(kind), 2, 1, 1)), rng.uniform(3.5, 6, (len(kind), 1, 1))
    down, right = abs(row - centre[:, 0]), abs(column - centre[:, 1])
    disc = np.hypot(down, right) < radius
    ring = disc & (np.hypot(down, right) > radius - 2)
    near, far = np.minimum(down, right), np.maximum(down, right)
    shapes = np.stack([disc, ring, (near < 1) & (far < radius), far < 0.85 * radius])[kind, np.arange(len(kind))]
    images = 0.4 + rng.normal(0, 0.1, shapes.shape) + contrast[:, None, None] * shapes
    return np.asarray(images.clip(0, 1).astype(np.float16)[:, None])


def backbone(weights: Path) -> ImageSettings:
    """Give the settings of images whose encoder starts from weights."""
    return image_input({"name": "resnet18", "channels": CHANNELS, "weights": str(weights)})


def pretrain(weights: Path, images: int, passes: int = 4) -> None:
    """Train a backbone to tell all four shapes, clearer ones, and write its weights."""
    rng = np.random.default_rng(99)
    kind = rng.integers(0, KINDS, images)
    drawn = torch.from_numpy(draw_shapes(rng, kind, rng.uniform(0.25, 0.5, images)).astype(np.float32))
    truth = torch.from_numpy(kind)
    torch.manual_seed(0)
    encoder = backbone(weights).encoder.build(32, 1, (SIDE, SIDE))
    assert isinstance(encoder, Adapted)
    network, head = encoder.backbone.train(), nn.Linear(8 * CHANNELS, KINDS)
    optimizer = torch.optim.AdamW([*network.parameters(), *head.parameters()])
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, passes * (images // 32))
    for _ in range(passes):
        for rows in torch.randperm(images)[: images // 32 * 32].split(32):
            optimizer.zero_grad()
            nn.functional.cross_entropy(head(network(drawn[rows]).mean((2, 3))), truth[rows]).backward()
            optimizer.step()
            schedule.step()
    save_file(network.state_dict(), weights)


def accuracy(scores: Scores, weights: Array) -> Array:
    """Give the share of the decisions that are right."""
    return share((scores.predicted[:, 0] > 0.5) == (scores.target[:, 0] > 0), weights)


def better(measure: Measure, one: Scores, rival: Scores) -> Array:
    """Give for each seed how much larger a measure is."""
    return np.array([_once(measure, a) - _once(measure, b) for a, b in zip(seeds_of(one), seeds_of(rival), strict=True)])


def _decided(scores: Scores, thresholds: Sequence[float]) -> Scores:
    decided = decide(scores.predicted, thresholds, "binary").astype(float)
    return Scores(scores.classes, decided, scores.target, scores.patient, scores.groups)


def _once(measure: Measure, scores: Scores) -> float:
    return float(measure(scores, np.ones((1, len(scores.patient)), np.uint8))[0])


def _value(measure: Measure, scores: Scores) -> float:
    return _once(over_seeds(measure), scores)


def _estimate(measure: Measure, scores: Scores) -> object:
    return interval(lambda weights: over_seeds(measure)(scores, weights), scores.patient)


def _against(measure: Measure, one: Scores, rival: Scores, name: str) -> tuple[str, str]:
    """Give the paired difference with its interval, and in how many seeds it is above zero; nothing against itself."""
    if one is rival:
        return "", ""
    gained = better(measure, one, rival)
    return str(difference(over_seeds(measure), one, rival)), f"{(gained > 0).sum()}/{len(gained)}"


def _counted(scores: Mapping[str, Scores]) -> str:
    one = next(iter(scores.values()))
    patients = len(np.unique(one.patient))
    return f"{len(one.patient):,} test studies of {patients:,} patients, mean over {len(list(seeds_of(one)))} seeds"
