"""FLOPs of values and of plain forwards, counted by one formula.

A multiplication and an addition are two FLOPs. Matrix products count; norms, activations,
softmax and additions to the residual stream do not.
"""

from __future__ import annotations

from circuitlang.compiler.allocate import Plan
from circuitlang.compiler.drop import Demand
from circuitlang.compiler.graph import Value
from circuitlang.language.graph.architecture import GATED, Shape

NODES = ("embed", "z", "mlp")
"""Kinds of which there is one value for each time that a node is computed."""


def value_flops(value: Value, positions: int, shape: Shape) -> int:
    """FLOPs of one value for one prompt; `positions` is a bit mask."""
    number = positions.bit_count()
    match value.kind:
        case "q" | "k" | "v" | "out":
            return 2 * number * shape.d_model * shape.d_head
        case "attn" if value.operands:
            return 2 * number * shape.d_model * shape.d_head * shape.heads
        case "z":
            return 4 * number * positions.bit_length() * shape.d_head
        case "pattern":
            return 2 * number * positions.bit_length() * shape.d_head
        case "bundle":
            return 2 * number * shape.d_model * shape.d_head * value.which
        case "mlp":
            return number * mlp_flops(shape)
        case _:
            return 0


def mlp_flops(shape: Shape) -> int:
    """Of one MLP at one position."""
    return 2 * (3 if shape.family in GATED else 2) * shape.d_model * shape.d_mlp


def flops(form: Demand) -> int:
    """FLOPs of all values for one prompt, without the unembedding."""
    shape = form.graph.program.wiring.shape
    return sum(value_flops(value, asked, shape) for _, value, asked in form.kept)


def forward_flops(shape: Shape, length: int) -> int:
    """FLOPs of a plain forward of one prompt, its unembedding at one position included."""
    projections = 2 * shape.d_model * shape.d_head * (2 * shape.heads + 2 * shape.kv_heads)
    attention = 4 * length * shape.d_head * shape.heads
    layer = projections + attention + (mlp_flops(shape) if shape.mlps else 0)
    return shape.layers * length * layer + 2 * shape.d_model * shape.vocab


def step_flops(plan: Plan) -> list[int]:
    """FLOPs of each step of a plan, for one prompt."""
    shape, values, asked = plan.graph.program.wiring.shape, plan.graph.values, plan.positions
    return [
        sum(value_flops(values[n], asked[n], shape) for n in step.produced) for step in plan.steps
    ]
