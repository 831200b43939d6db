"""Attribution: every edge's first-order effect on a metric, by gradients through an adapter.

metric     a metric as a differentiable function of the last residual and of attention
passes     one forward and backward: what each receiver's read is worth
edges      scores of all edges from these and from what senders carry
"""

from circuitlang.runtime.attribution.edges import Attribution, attribute
from circuitlang.runtime.attribution.metric import check_differentiable

__all__ = ["Attribution", "attribute", "check_differentiable"]
