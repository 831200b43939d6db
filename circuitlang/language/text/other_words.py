"""Words that other tools and papers use, and what a spec writes instead."""

from __future__ import annotations

_INPUT = "the embeddings, tokens and positions together, are `input`"
_LOGITS = "what the model says is `logits`"
_STREAM = "the residual stream is no node; edges go from heads, MLPs and `input` to what reads them"
_HEADS = "heads are written `a9.h6`, all of a layer `a9.h[*]`, all of the model `heads`"
_MLPS = "MLPs are written `m3`, all of the model `mlps`"
_PROMPTS = "a task's name means its prompts: `F(M on name_of_task)`"

NAMES = {
    **dict.fromkeys(("embed", "embedding", "embeddings", "emb", "wte", "wpe", "pos_embed"), _INPUT),
    **dict.fromkeys(("inputs", "hook_embed", "resid_pre_0", "token"), _INPUT),
    **dict.fromkeys(("output", "outputs", "unembed", "lm_head", "logit_lens", "ln_final"), _LOGITS),
    **dict.fromkeys(("resid", "resid_pre", "resid_mid", "resid_post", "residual"), _STREAM),
    **dict.fromkeys(("attn", "attention", "head", "all_heads"), _HEADS),
    **dict.fromkeys(("mlp", "all_mlps", "ffn"), _MLPS),
    **dict.fromkeys(("prompts", "prompt", "data", "dataset", "inputs_clean"), _PROMPTS),
    **dict.fromkeys(("all", "everything", "full", "model", "G"), "all edges, the model, are `M`"),
    **dict.fromkeys(("empty", "nothing", "null"), "the set without edges is `none`"),
    **dict.fromkeys(("last", "final", "end"), "the last position is `END`"),
}
_MEAN = "a score is a mean over the prompts already: `F(C)`"
FUNCTIONS = {
    **dict.fromkeys(
        ("accuracy", "acc", "top1", "top_1"),
        "the share of right answers is `F(C by indicator(argmax in answer))`",
    ),
    **dict.fromkeys(("len", "count", "length", "n_edges"), "the number of edges is `size(C)`"),
    **dict.fromkeys(("avg", "average", "expectation"), _MEAN),
    **dict.fromkeys(("score", "f", "run", "evaluate"), "the score of a set is `F(C)`"),
    **dict.fromkeys(
        ("curve", "auc", "area"), 'the area under all sizes is `cpr("scores.json")`'
    ),
    **dict.fromkeys(("completeness", "complete"), "write `incompleteness(C, K) <= 0.1`"),
    **dict.fromkeys(
        ("minimality", "minimal"), "write `forall e in edges(C): abs(drop(C, e)) >= 5% * effect`"
    ),
    **dict.fromkeys(("sufficiency", "sufficient"), "write `faithfulness(C) in 0.9..1.1`"),
    **dict.fromkeys(("complement", "inverse"), "the complement of a set is `M - C`"),
    **dict.fromkeys(("intersection", "intersect"), "the intersection of sets is `A & B`"),
    **dict.fromkeys(("union",), "the union of sets is `A + B`"),
    **dict.fromkeys(("difference", "minus", "without"), "the difference of sets is `A - B`"),
    **dict.fromkeys(("patch", "ablate", "knockout"), "what is not in the set is ablated: `F(M - K)`"),
    **dict.fromkeys(("head", "heads_of"), "heads are written `a9.h6`"),
}  # fmt: skip
STATEMENTS = {
    **dict.fromkeys(("hypothesis", "assert", "check", "test", "theorem"), "claim name: ..."),
    **dict.fromkeys(("dataset", "data"), "task name { ... }"),
    **dict.fromkeys(("graph", "subgraph", "edges"), "circuit name { ... }"),
    **dict.fromkeys(("require", "given", "precondition"), "assume name: ..."),
    **dict.fromkeys(("def", "function", "fun", "fn"), "measure name(C) = ..."),
    **dict.fromkeys(("var", "const", "val", "set", "define"), "let name = ..."),
    **dict.fromkeys(("heads", "nodes", "class"), "group name = [...]"),
    **dict.fromkeys(("print", "show", "plot"), "report name: ..."),
    **dict.fromkeys(("include", "from", "use", "using"), 'import "file.circ" as name'),
    **dict.fromkeys(("intervention", "patch", "patching"), "ablation name = resample(corruption)"),
    **dict.fromkeys(("loss", "score"), "metric name = logit(answer) - logit(foil)"),
}
TASK_LINES = {
    **dict.fromkeys(("corruption", "corrupted", "counterfactual"), "corrupt name { slot = value }"),
    **dict.fromkeys(("template", "text", "clean", "input"), 'prompt "..."'),
    **dict.fromkeys(("answer", "answers", "target", "label"), 'tokens answer = " {slot}"'),
    **dict.fromkeys(("foil", "wrong", "distractor"), 'tokens foil = " {slot}"'),
    **dict.fromkeys(("variable", "var", "let"), 'slot name = ["...", "..."]'),
    **dict.fromkeys(("samples", "n", "size"), "sample 128"),
    **dict.fromkeys(("split", "half", "fold", "holdout"), "split search"),
}


def instead_of_statement(word: str, in_task: bool) -> str | None:
    """How the line that begins with a foreign word begins here."""
    if in_task:
        meant = TASK_LINES.get(word.lower())
        return f"write `{meant}`" if meant else None
    if meant := STATEMENTS.get(word.lower()):
        return f"write `{meant}`"
    meant = TASK_LINES.get(word.lower())
    return f"inside a task, write `{meant}`" if meant else None
