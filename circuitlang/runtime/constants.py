"""The numbers of a safetensors file of constants, read when runs are executed."""

from __future__ import annotations

import hashlib

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from circuitlang.language.spec import Constants
from circuitlang.runtime.unavailable import NotMeasurable


def vectors(constants: Constants, device: torch.device) -> dict[str, Tensor]:
    """Each node's vector [d_model] in float64; raises `NotMeasurable` for a file that is no
    longer the one that was looked at, or holds what is no finite number."""
    try:
        content = constants.path.read_bytes()
        if hashlib.sha256(content).hexdigest() != constants.digest:
            raise NotMeasurable(f"`{constants.name}` was changed while it was in use")
        found = load(content)
    except (OSError, SafetensorError) as problem:
        raise NotMeasurable(f"`{constants.name}` cannot be read: {problem}") from problem
    for node, vector in found.items():
        if not vector.isfinite().all():
            raise NotMeasurable(
                f"`{node}` in `{constants.name}` is not finite", "replace infinities and NaN"
            )
    return {node: vector.to(device, torch.float64) for node, vector in found.items()}
