"""Keeps models in their own precision.

Float64 stays float64, where transformers and TransformerLens go down to float32; products of
float32 matrices are not rounded to TF32 or bfloat16, whatever the process allows elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
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


@contextmanager
def precision(dtype: torch.dtype) -> Iterator[None]:
    """The context in which a model of `dtype` runs."""
    with _exact_products(), _NoDowncast() if dtype == torch.float64 else nullcontext():
        yield


@contextmanager
def _exact_products() -> Iterator[None]:
    restore = _as_it_is()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        restore()


def _as_it_is() -> Callable[[], None]:
    """Sets the precision of products to what it is now."""
    try:
        return partial(torch.set_float32_matmul_precision, torch.get_float32_matmul_precision())
    except RuntimeError:  # it was set by torch's newer switches, one for each backend
        backends: Any = torch.backends
        switches = (backends.cuda.matmul, backends.mkldnn.matmul)
        settings = [switch.fp32_precision for switch in switches]

    def restore() -> None:
        for switch, setting in zip(switches, settings, strict=True):
            switch.fp32_precision = setting

    return restore
