"""Numbers as tensors, for callers that must not import torch themselves."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def uploaded(numbers: Any, device: torch.device | str) -> Tensor:
    """Whole numbers as a tensor on the device, without waiting for it to arrive there."""
    return torch.tensor(numbers, dtype=torch.long).to(device, non_blocking=True)


def tensor(values: Any) -> Tensor:
    """A float64 tensor of its own storage."""
    return torch.tensor(values, dtype=torch.float64)
