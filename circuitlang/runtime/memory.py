"""How much memory a check may use, and how running out of it looks."""

from __future__ import annotations

import torch

from circuitlang.compiler.cost import host_budget
from circuitlang.runtime.models import LoadedModel


def usual_budget(model: LoadedModel) -> int:
    """Bytes for tensors besides the model: half of what is free on its device; on the host at most
    4 GiB."""
    if model.device.type != "cuda":
        return host_budget()
    free, _ = torch.cuda.mem_get_info(model.device)
    return free // 2


SIGNS = ("allocate memory", "out of memory", "ALLOC_FAILED")
"""What the host's allocator, CUDA and its libraries say where no type tells."""


def is_out_of_memory(error: Exception) -> bool:
    known = isinstance(error, (torch.OutOfMemoryError, MemoryError))
    return known or any(sign in str(error) for sign in SIGNS)
