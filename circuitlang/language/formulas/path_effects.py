"""`path_effect(A, R)`: what reaches the receivers R from the nodes A, directly and through MLPs.

Path patching as Wang et al. (2022, appendix B) do it for IOI, with the sign of `drop`:

1. a run in which everything that leaves A is ablated, and every node outside `through` keeps what
   it has in M: only nodes of `through` (by default the MLPs) pass the change on;
2. M, but R reads what it reads in that run. The effect is F(M) less F of this.
"""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import TYPE_CHECKING

from circuitlang.language.formulas.numbers import operation
from circuitlang.language.formulas.values import Located, Nodes, Numbers
from circuitlang.language.graph import sets
from circuitlang.language.graph.architecture import Architecture
from circuitlang.language.graph.edges import EdgeSet, uniform
from circuitlang.language.spec import Reading, Run
from circuitlang.language.text import syntax

if TYPE_CHECKING:
    from circuitlang.language.formulas.environment import Environment
    from circuitlang.language.formulas.evaluate import Evaluator
    from circuitlang.language.formulas.runs import Context

USAGE = "write `path_effect(A, R)`, with `through = ...` for other nodes than the MLPs"


def path_effect(ev: Evaluator, e: syntax.Call, env: Environment) -> Numbers:
    if len(e.arguments) != 2 or e.generator is not None:
        raise ev.fail(
            "CL105", "`path_effect` takes where paths begin and where they end.", e, USAGE
        )
    wrong = next((value for name, value in e.named if name != "through"), None)
    if wrong is not None or len(e.named) > 1:
        raise ev.fail("CL105", "`path_effect` takes `through` once and no other name.", e, USAGE)
    ev.count_score(e)
    source, target = e.arguments
    context, data = ev.runs.context(e, env, lambda inner: ev.product(source, target, e, inner))
    inner = context.env
    senders, receivers = ev.nodes(source, inner), ev.nodes(target, inner)
    through = _through(ev, e, inner)
    for part, written in ((senders, source), (receivers, target)):
        ev.runs.check_places(sets.leaving(part, ev.graph(inner)), context.task, written)
    metric = ev.runs.metric(ev.runs.word(e, "by"), context, e)
    graph = ev.graph(inner)
    whole = Run(context.model, context.task.name, None, uniform(graph.everything), "M")
    carried = _carried(ev, e, context, senders, through, whole)
    everyone = Nodes(tuple(Located(node) for node in graph.senders))
    into = sets.product(everyone, receivers, graph).edges
    patched = Run(
        whole.model,
        whole.task,
        None,
        whole.live,
        f"M with {ev.printed(source, inner)} on paths to {ev.printed(target, inner)} ablated",
        context.free,
        context.free_names,
        (Reading(into, carried),),
    )
    return operation("-", tuple(ev.runs.measured(run, metric, data) for run in (whole, patched)))


def _through(ev: Evaluator, e: syntax.Call, env: Environment) -> Nodes:
    """The nodes that pass a change on, wherever they are."""
    if not e.named:
        return sets.builtin_nodes("mlps", ev.graph(env)) or Nodes(())
    _, written = e.named[0]
    through = Nodes(()) if _is_none(written) else ev.nodes(written, env)
    if any(member.place is not None or member.ports for member in through.members):
        raise ev.fail(
            "CL106",
            "Paths go through whole nodes, at every position.",
            written,
            "name nodes without ports and positions, as in `through = mlps`",
        )
    return through


def _is_none(e: syntax.Expression) -> bool:
    return isinstance(e, syntax.Name) and e.text == "none"


def _carried(
    ev: Evaluator,
    e: syntax.Call,
    context: Context,
    senders: Nodes,
    through: Nodes,
    whole: Run,
) -> Run:
    """The run in which `senders` are ablated and only `through` notice."""
    graph, source = ev.graph(context.env), e.arguments[0]
    live: EdgeSet = (whole.live - sets.leaving(senders, graph)) | context.free
    written = ev.printed(source, context.env)
    ablation = None
    if live == whole.live:
        ev.diagnostics.warn(
            "CL309",
            f"Paths from `{written}` carry nothing: it is never ablated "
            f"(`free {', '.join(context.free_names)}`).",
            e.span,
            "begin at another node, or do not declare it free",
        )
    else:
        ablation = context.ablation()
        if ablation.constants is not None:
            ev.runs.check_constants(ablation.constants, live, f"M - {written}", source, context.env)
    return Run(
        whole.model,
        whole.task,
        ablation,
        live,
        f"M - {written}, passed on by {len(through.members)} nodes",
        context.free,
        context.free_names,
        (Reading(uniform(_frozen(through, graph)), whole),),
    )


def _frozen(through: Nodes, graph: Architecture) -> int:
    """All edges into heads and MLPs that are not in `through`."""
    passing = {member.node for member in through.members}
    kept = (node for node in graph.senders[1:] if node not in passing)
    return reduce(or_, (graph.entering(r) for node in kept for r in graph.receivers_of(node)), 0)
