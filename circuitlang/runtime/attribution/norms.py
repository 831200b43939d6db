"""The derivatives of the two norms, in closed form.

With y = (x - m) / s the norm before its gain w, where m is the mean of x (0 in an RMS norm) and s
the root of the mean square plus eps, the Jacobian of w * y applied to v is
w * (v - mean(v) - y * mean(y * v)) / s, mean(v) left out in an RMS norm. It is symmetric but for
the gain, which a cotangent meets first and a tangent last.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from circuitlang.runtime.adapters.adapter import Map, RMSNorm


@dataclass(frozen=True)
class Normed:
    """A norm at a point: `y` [..., d_model], `scale` 1 / s [..., 1], `gain` [d_model]."""

    y: Tensor
    scale: Tensor
    gain: Tensor
    bias: Tensor | None
    centred: bool

    @property
    def value(self) -> Tensor:
        """What the norm gives: [..., d_model]."""
        result = self.y * self.gain
        return result if self.bias is None else result + self.bias

    def pulled(self, cotangent: Tensor) -> Tensor:
        """The gradient with respect to what is normed, from that of the norm's value."""
        return self._applied(cotangent * self.gain)

    def pushed(self, tangent: Tensor) -> Tensor:
        """What a small change of what is normed makes of the norm's value."""
        return self._applied(tangent) * self.gain

    def _applied(self, v: Tensor) -> Tensor:
        if self.centred:
            v = v - v.mean(-1, keepdim=True)
        return (v - self.y * (self.y * v).mean(-1, keepdim=True)) * self.scale


def normed(norm: Map, x: Tensor) -> Normed:
    """`norm` at `x` [..., d_model]; raises `TypeError` for an unknown norm."""
    if isinstance(norm, RMSNorm):
        scale = torch.rsqrt(x.square().mean(-1, keepdim=True) + norm.eps)
        return Normed(x * scale, scale, norm.weight, None, False)
    if not isinstance(norm, torch.nn.LayerNorm):
        raise TypeError(f"{type(norm).__name__} is no known norm")
    centre = x - x.mean(-1, keepdim=True)
    scale = torch.rsqrt(centre.square().mean(-1, keepdim=True) + norm.eps)
    return Normed(centre * scale, scale, norm.weight, norm.bias, True)
