"""Keeps float64 models in float64, where transformers and TransformerLens go down to float32."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode


class _NoDowncast(TorchFunctionMode):
    """Reads every request for float32 as one for float64 (norms, softmax, rotary angles)."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func is Tensor.float:
            func = Tensor.double
        wider = {name: _widened(value) for name, value in (kwargs or {}).items()}
        return func(*map(_widened, args), **wider)


def _widened(value: Any) -> Any:
    return torch.float64 if value is torch.float32 else value


def precision(dtype: torch.dtype) -> AbstractContextManager[Any]:
    """The context in which a model of `dtype` runs."""
    context: Callable[[], AbstractContextManager[Any]] = (
        _NoDowncast if dtype == torch.float64 else nullcontext
    )
    return context()
