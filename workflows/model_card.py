"""The model card of an evaluation, as JSON and as Markdown: the card of the package, and what the evaluation found.

Source: Mitchell et al., Model cards for model reporting, FAT* (2019), section 4: its nine sections in its order.
"""

from medmm.package import card_text
from medmm.settings import Plain

from .checklists import in_a_cell
from .evidence import RESULTS, TABLE_ONE, Evidence, anchor_of, finding, limits, verdicts
from .report import number

OPEN = "open: a human must write this"
TITLES = {
    "model_details": "Model details",
    "intended_use": "Intended use",
    "factors": "Factors",
    "metrics": "Metrics",
    "evaluation_data": "Evaluation data",
    "training_data": "Training data",
    "quantitative_analyses": "Quantitative analyses",
    "ethical_considerations": "Ethical considerations",
    "caveats_and_recommendations": "Caveats and recommendations",
}
TOLD_ABOVE = ("model_details",)
"""Sections that the card of the package tells already."""


def model_card(evidence: Evidence) -> dict[str, Plain]:
    """Give the card as plain data."""
    subject = evidence.subject
    package, facts = subject.package, subject.package.facts
    target, intended = package.target, package.intended
    return {
        "model_details": {
            "name": package.name,
            "digest": package.digest,
            "task": target.task,
            "predicts": list(target.names),
            "inputs": {name: one.settings.kind for name, one in sorted(package.inputs.items())},
            "fusion": package.model_settings.fusion.name,
            "temperature": package.temperature,
            "thresholds": list(package.thresholds),
            "rules": [rule.name for rule in package.rules],
            "license": OPEN,
            "contact": OPEN,
        },
        "intended_use": {
            "primary_use": f"tells {' or '.join(target.names)} from {', '.join(sorted(package.inputs))}, for research",
            "purpose": OPEN if intended is None or not intended.purpose else intended.purpose,
            "population": OPEN if intended is None or not intended.population else intended.population,
            "limits": [] if intended is None else intended.limits_told(),
            "primary_users": OPEN,
            "out_of_scope": ["the care of a patient: research software, not a medical device", *_unseen(evidence)],
        },
        "factors": {
            "groups": {name: sorted(set(map(str, values))) for name, values in _shown_groups(evidence).items()},
            "inputs_may_be_absent": True,
            "other_relevant_factors": OPEN,
        },
        "metrics": {
            "headline": evidence.evaluation.metric,
            "reported": list(dict.fromkeys(one.metric for one in evidence.evaluation.results)),
            "thresholds": "chosen on the validation studies" if package.thresholds else "none",
            "intervals": f"95 %, by drawing patients anew {subject.config.evaluation.resamples} times",
        },
        "evaluation_data": {
            "cohort_digest": subject.manifest.digest,
            "same_cohort_as_training": subject.own,
            "studies": len(subject.test.rows),
            "patients": len(set(subject.test.scores.patient.tolist())),
            "left_out": len(subject.left_out),
            "left_out_as_learned_from": subject.learned_from,
            "motivation": OPEN,
        },
        "training_data": {
            "cohort_digest": facts.get("cohort_digest", ""),
            "parts": facts.get("cohort", {}),
            "split": facts.get("proof", {}).get("split", {}),
            "leaks_waived": facts.get("proof", {}).get("waived", {}),
        },
        "quantitative_analyses": {
            "verdicts": [{"verdict": one.word, "said": one.said} for one in verdicts(evidence)],
            "results": [
                {"metric": one.metric, "class": one.class_name, **number(one.estimate), "note": one.note}
                for one in evidence.evaluation.results
            ],
            "chapters": {
                one.name: {
                    "title": one.title,
                    "says": list(one.says),
                    "measures": {name: number(estimate) for name, estimate in one.measures.items()},
                }
                for one in evidence.chapters
            },
        },
        "ethical_considerations": {
            "identifiers": "patients are told apart by numbers; no identifier is part of the card, the report or the package",
            "sensitive_groups": sorted(subject.test.scores.groups),
            "risks_and_harms": OPEN,
        },
        "caveats_and_recommendations": limits(evidence),
    }


def model_card_text(evidence: Evidence, page: str) -> str:
    """Give the card in Markdown: that of the package, then what the evaluation found, with links into the report."""
    card = model_card(evidence)
    lines = [card_text(evidence.subject.package).rstrip("\n")]
    for name, content in card.items():
        if name in TOLD_ABOVE:
            continue
        lines += ["", f"## {TITLES[name]}", ""]
        lines += _analyses(evidence, page) if name == "quantitative_analyses" else _listed(content)
    return "\n".join(lines) + "\n"


def _analyses(evidence: Evidence, page: str) -> list[str]:
    lines = [f"- **{one.word}**: {in_a_cell(one.said)}" for one in verdicts(evidence)]
    lines.append(f"- all results: [report]({page}#{RESULTS}), patients: [report]({page}#{TABLE_ONE})")
    return lines + [
        f"- {in_a_cell(one.title)}: {in_a_cell(finding(one))} ([more]({page}#{anchor_of(one)}))" for one in evidence.chapters
    ]


def _listed(content: Plain) -> list[str]:
    if isinstance(content, list):
        return [f"- {in_a_cell(str(one))}" for one in content]
    return [f"- {in_a_cell(name.replace('_', ' '))}: {in_a_cell(_told(value))}" for name, value in content.items()]


def _told(value: Plain) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_told(one)}" for name, one in value.items() if one is not None) or "none"
    if isinstance(value, list):
        return "; ".join(_told(one) for one in value) or "none"
    return str(value)


def _shown_groups(evidence: Evidence) -> dict[str, list[str]]:
    """Give the groups that Table 1 names, for what few patients have may tell who they are."""
    shown: dict[str, list[str]] = {name: [] for name in evidence.subject.test.scores.groups}
    current = ""
    for row in evidence.table_one.rows:
        current = row.name or current
        if current in shown and row.level:
            shown[current].append(row.level)
    return shown


def _unseen(evidence: Evidence) -> list[str]:
    return ["any hospital but that of the training cohort: none was tested"] if evidence.subject.own else []
