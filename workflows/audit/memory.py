"""Check of memory: a model whose loss tells whom it learned from has learned patients by heart."""

from medmm.evaluation.membership import membership

from .audited import Audited
from .finding import Finding, judge, not_applicable, shown

REMEMBERED = 0.7
"""AUROC of the attack beyond which a model knows its patients by heart. Every fitted model is somewhat better on the studies it
learned from; 0.5 tells nothing."""


def memorisation(audited: Audited) -> Finding:
    """Try to tell training studies from test studies by the loss of the model (membership inference)."""
    subject = audited.subject
    train = subject.parts.get("train")
    if train is None or not len(train.rows):
        return not_applicable("the training studies are not in this cohort")
    task = subject.config.target.task
    one = membership(train.raw, subject.test.raw, task, subject.config.evaluation.resamples)
    few = len(set(subject.test.scores.patient.tolist()))
    evidence = f"training studies are told from test studies with AUROC {shown(one)}; 0.5 tells nothing"
    return judge("AUROC of membership inference", one, evidence, most=REMEMBERED, rests_on=few)
