"""Numbers as tensors, for callers that must not import torch themselves."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def tensor(values: Any) -> Tensor:
    """A float64 tensor of its own storage."""
    return torch.tensor(values, dtype=torch.float64)
