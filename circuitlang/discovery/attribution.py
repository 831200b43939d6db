"""Attribution: an estimate of every edge's effect from gradients, in a few passes.

Edge attribution patching (Syed et al. 2023) and its integrated form over inputs (EAP-IG; Hanna et
al. 2024). What comes out ranks edges, and is no evidence for a claim.
"""

from __future__ import annotations

from circuitlang.discovery.experiment import Experiment
from circuitlang.discovery.scores import Scores

METHODS = ("eap", "eap-ig")
STEPS = 5


def attributed(experiment: Experiment, method: str = "eap-ig", steps: int = STEPS) -> Scores:
    """Scores of every candidate edge, averaged over the experiment's prompts."""
    raise NotImplementedError
