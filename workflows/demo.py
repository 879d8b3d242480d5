"""`medmm demo`: every job of the user once, on a cohort made here."""

import time
from pathlib import Path

import yaml

from medmm.cohort.synthetic import SyntheticSettings, make_cohort
from medmm.cohort.synthetic.truth import draw_truth
from medmm.config import RunConfig, parse_config
from medmm.errors import ConfigError
from medmm.files import write_text
from medmm.training.tracking import TrackingSettings

from .audit.run import audit_model, show_audit
from .evidence_page import PAGE
from .explain import Asked, explain_studies, in_short
from .score import Manner, score_studies
from .screen import Screen
from .train import show_trained, train

NEW_STUDIES = 20
EXPLAINED = 2
"""Row of the new study that is explained."""

SEED = 7


def demo_config(out: Path) -> dict[str, object]:
    """Give the run file of the demo."""
    augmentation = {"shift": 0.06, "rotation_degrees": 5, "scale": 0.05, "noise": 0, "contrast": 0}
    return {
        "name": "demo",
        "cohort": {"root": str(out / "cohort"), "time": "time", "subgroups": ["sex", "site"]},
        "target": {"column": "diagnosis", "task": "binary", "positive": "pneumonia"},
        "inputs": {
            "chest": {
                "kind": "image",
                "path": "dicom",
                "column": "study_uid",
                "modality": ["CR", "DX"],
                "size": [64, 64],
                "augmentation": augmentation,
                "encoder": {"name": "resnet18", "channels": 16},
            },
            "ct": {
                "kind": "image",
                "path": "dicom",
                "column": "study_uid",
                "modality": ["CT"],
                "size": [32, 32, 16],
                "window": [-1000, 200],
                "augmentation": augmentation,
                "encoder": {"name": "resnet18", "channels": 16},
            },
            "labs": {
                "kind": "tabular",
                "table": "labs.csv",
                "layout": "long",
                "window_days": 14,
                "numeric": {
                    "crp": {"unit": "mg/L", "range": [0, 600]},
                    "wbc": {"unit": "10*9/L", "range": [0, 200]},
                    "creatinine": {"unit": "umol/L", "range": [5, 2500]},
                    "haemoglobin": {"unit": "g/L", "range": [20, 260]},
                },
                "encoder": "ft_transformer",  # a token a cell and a word: what a fusion of all tokens works on
            },
            "history": {"kind": "text", "table": "notes.csv", "max_tokens": 96, "encoder": "transformer"},
        },
        "split": {"fractions": {"train": 0.55, "validation": 0.2, "test": 0.25}},
        "model": {"width": 64, "fusion": {"name": "transformer", "modality_dropout": 0.2}},
        "training": {"epochs": 24, "patience": 8, "batch_size": 16, "learning_rate": 5.0e-4},
        "tracking": {"uri": f"sqlite:///{out / 'mlflow.db'}"},
        "output": str(out / "runs"),
    }


def new_studies(first_patient: int) -> SyntheticSettings:
    """Give the settings of an export of 20 studies, one of them broken, of patients that the model has not seen."""
    while True:
        for patients in range(NEW_STUDIES // 3, NEW_STUDIES + 1):
            settings = SyntheticSettings(patients=patients, seed=SEED, first_patient=first_patient, unlabelled=True, broken=1)
            if len(draw_truth(settings)) == NEW_STUDIES:
                return settings
        first_patient += 1


def run_demo(out: Path, patients: int, screen: Screen) -> None:
    """Make a cohort, train on it, score new studies, and say how to go on.

    Raises:
        MedmmError: Something that the user can repair.
    """
    if out.exists():
        raise ConfigError("the folder of the demo exists already: remove it, or choose another with --out")
    start = time.monotonic()
    with screen.step("making a cohort of DICOM, labs, notes") as step:
        make_cohort(out / "cohort", SyntheticSettings(patients=patients, seed=SEED), step)
    config_file = out / "demo.yaml"
    write_text(config_file, yaml.safe_dump(demo_config(out), sort_keys=False))
    config: RunConfig = parse_config(demo_config(out), config_file.name)
    trained = train(config, screen)
    screen.say("")
    audited = audit_model(str(trained.package), config, {}, screen)
    screen.say("")
    make_cohort(out / "incoming", new_studies(patients))
    tracking = TrackingSettings(uri=config.tracking.uri)
    manner = Manner(also=("worklist",))
    scored = score_studies("models:/demo@champion", out / "incoming", out / "scores", tracking, screen, manner)
    screen.say("")
    show_trained(trained, config, screen)
    screen.say("")
    show_audit(audited, screen)
    screen.say("")
    reasons = ", ".join(f"{code.value}: {count}" for code, count in sorted(scored.rejected.items()))
    screen.say(f"new studies: {scored.scored} scored, {sum(scored.rejected.values())} rejected ({reasons}) in {out / 'scores'}")
    explained = explain_studies(
        "models:/demo@champion", out / "incoming", Asked([EXPLAINED]), out / "explained", tracking, screen
    )
    screen.say(in_short(explained[0]))
    screen.say(f"the whole demo took {(time.monotonic() - start) / 60:.1f} minutes")
    screen.say("")
    screen.say("look at:")
    screen.say(f"  {audited.folder / PAGE}   the report")
    screen.say(f"  {out / 'scores' / 'worklist.html'}   the new studies, the highest risk first")
    screen.say(f"  {out / 'explained'}/study_{EXPLAINED}.html   why the model says what it says of one study")
    screen.say("")
    screen.say("go on with:")
    screen.say(f"  medmm ui {out}")
    screen.say(f"  medmm audit {audited.folder}")
    screen.say(f"  medmm inspect {config_file}")
    screen.say(f"  medmm score models:/demo@champion {out / 'incoming'} --out {out / 'scores'} --tracking {out}")
    screen.say(f"  medmm monitor {out / 'scores'} --package models:/demo@champion --tracking {out}")
    screen.say(f"  medmm train {config_file} training.epochs=5 model.fusion=weighted")
