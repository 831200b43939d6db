"""What the words of the language mean, in a line each; what the built-in functions take."""

from __future__ import annotations

STATEMENT_WORDS = {
    "spec": 'names the spec and its version: `spec ioi "1.0.0"`',
    "import": "brings another spec's definitions in, under a name of their own",
    "model": "the model that the claims are about",
    "task": "prompts made from slots, their answers, and how they are corrupted",
    "circuit": "a set of edges: lines `senders -> receivers`, or one set expression",
    "measure": "a named formula; context words at a call reach every F in it",
    "group": "a named set of nodes, which `groups(C)` knows",
    "metric": "what F averages: one number per prompt, read off a run",
    "ablation": "what an edge outside the set carries",
    "let": "a name for any value: a list, a table, a number, a set",
    "claim": "a condition that the check decides",
    "assume": "a precondition: where it does not hold, every claim is invalid",
    "report": "a number or a list of numbers to print, without a threshold",
    "counterexample": "a member that refuted a claim: it is looked at first, ever after",
    "default": "context words for the whole file; the innermost word wins",
}
TASK_WORDS = {
    "slot": "what a prompt's `{hole}` is filled with: a list, a range, a file, a table",
    "tokens": "a named set of answer tokens; `answer` and `foil` are the usual two",
    "prompt": 'a text with `{slot}` holes; `{slot:label}` names one place: `"{S:S1} ... {S:S2}"`',
    "corrupt": "the same prompt with some slots or labels rewritten",
    "where": "leaves out the prompts that do not satisfy a condition",
}
CIRCUIT_WORDS = {"live": "every edge that leaves these nodes"}
CONTEXT_MEANINGS = {
    "on": "the prompts: a task, a template, a part, one example",
    "under": "the ablation of every edge outside the set",
    "by": "the metric that F averages",
    "with": "the model",
    "free": "nodes whose edges are never ablated",
    "over": "what a claim generalises to: `prompts` or `templates`",
    "per": "what has to agree for prompts to share a mean: `template`, slots",
}
FORMULA_WORDS = {
    "forall": "true when the body is, for every member",
    "exists": "true when the body is, for some member",
    "most": "`most(95%) x in D: ...`: true for at least this share of the members",
    "in": "membership in an interval, `in 0.8..1.2`; or the domain of a name",
    "and": "both conditions; a claim of both needs no correction",
    "for": "runs over members, inside `[ ]` or a call: `mean(F(C on x) for x in examples)`",
    "if": "keeps the members that satisfy a condition",
    "expect": 'the verdict that is meant to come out: `expect fails "why"`',
    "as": "gives an import its name",
    "yes": "switches a setting on",
    "no": "switches a setting off",
}
KEYWORDS = {
    **STATEMENT_WORDS,
    **TASK_WORDS,
    **CIRCUIT_WORDS,
    **CONTEXT_MEANINGS,
    **FORMULA_WORDS,
}
FILE_SETTINGS = {
    "guarantee": 'intervals that are right at any number of prompts: `guarantee "finite-sample"`',
    "looks": "whether claims are decided as soon as their prompts suffice: `looks yes`",
    "paper": 'where the claims come from: `paper "arXiv:2211.00593"`',
    "title": "the title of the paper that the spec belongs to",
    "authors": 'who wrote it, between semicolons: `authors "Ada Lovelace; Charles Babbage"`',
    "doi": 'what it is cited by: `doi "10.48550/arXiv.2211.00593"`',
    "dtype": 'the floating point type of the model: `dtype "float32"` or `"float64"`',
}
MODEL_SETTINGS = {
    "bos": "whether prompts start with the model's BOS token: `bos yes`",
    "revision": "the hub revision: a branch, tag or commit",
    "dtype": FILE_SETTINGS["dtype"],
}
TASK_SETTINGS = {
    "sample": "how many prompts are drawn (256 when it is not said)",
    "seed": "the seed of the sample (0 when it is not said)",
    "split": "the half of the prompts that it draws from: `split search` or `split decide`",
}
HALVES = {
    "search": "the half of a task's prompts that a circuit is found on",
    "decide": "the half of a task's prompts that claims are decided on",
}
SETTINGS = {**FILE_SETTINGS, **MODEL_SETTINGS, **TASK_SETTINGS}
EXPECTATIONS = {
    "fails": "the claim is expected not to hold",
    "undecided": "the sample is expected to be too small to tell",
    "survived": "a search is expected to find no counterexample",
}
TARGETS = {
    "prompts": "the task's prompts, with these templates",
    "templates": "wordings in general; each template is one observation",
}
MEAN_KEYS = {"template": "each wording has a mean of its own"}
BUILTINS = {
    "M": "every edge of the model",
    "none": "no edge at all",
    "any": "every node",
    "input": "the node that writes the embeddings",
    "logits": "the node that reads the last residual stream",
    "heads": "every attention head",
    "mlps": "every MLP",
    "END": "the last token of the prompt",
    "examples": "the sampled prompts, one at a time",
}
METRIC_WORDS = {"argmax": "the most likely token: `indicator(argmax in answer)`"}
ABLATIONS = {
    "zero": "an edge outside the set carries 0",
    "resample": "`resample(corruption)`: it carries its value on that corruption of the prompt",
    "mean": "`mean(corruption per template)`: it carries its mean over reference prompts",
    "clean": "the uncorrupted prompts, in `mean(clean per template)`",
}
# name -> (what it takes, what it gives)
METRIC_CALLS = {
    "logit": ("(tokens @ place)", "the logit of a token set that is one token, at END"),
    "logprob": ("(tokens @ place)", "the log of the summed probability of a token set"),
    "prob": ("(tokens @ place)", "the summed probability of a token set"),
    "rank": ("(tokens @ place)", "the best rank in a token set, from 0"),
    "kl": ("(S, place)", "KL(the run of S || this run), summed over the vocabulary, in nats"),
    "js": ("(S, place)", "the Jensen-Shannon divergence from the run of S, in nats"),
    "loss": ("(label)", "the mean next-token loss over a span, in nats"),
    "attention": ("(head, from, to)", "the attention of a head from one place to another"),
    "indicator": ("(condition)", "1 where the condition holds, else 0"),
    "dla": (
        "(node @ place, tokens, norm =)",
        "direct logit attribution: the part of a token's logit that a node writes",
    ),
    "copies": ("(head @ place)", "the share of tokens that a head's OV circuit copies"),
    **{
        f"lens_{score}": ("(node @ place, tokens)", f"{what} that a node's own output has")
        for score, what in (
            ("logit", "the logit of a token"),
            ("logprob", "the log of the summed probability of a token set"),
            ("prob", "the summed probability of a token set"),
            ("rank", "the best rank of a token set, from 0,"),
        )
    },
}
STATISTIC_CALLS = {
    "mean": ("(x for p in D)", "the mean of numbers"),
    "median": ("(x for p in D)", "the median of numbers"),
    "quantile": ("(level, x for p in D)", "a quantile of numbers: `quantile(99%, ...)`"),
    "share": ("(condition for p in D)", "the share of members that satisfy a condition"),
    "min": ("(x for p in D)", "the least of numbers"),
    "max": ("(x for p in D)", "the greatest of numbers"),
}
DOMAIN_CALLS = {
    "edges": ("(C)", "the edges of a set, one by one"),
    "nodes": ("(C)", "the nodes of a set, located as the set has them"),
    "groups": ("(C)", "the spec's groups as far as they are in a set"),
    "arrows": ("(C)", "the written lines of a circuit, each as one set"),
    "templates": ("(task)", "the prompts of each template"),
    "corruptions": ("(task)", "the corruptions of a task"),
    "examples": ("(task)", "the sampled prompts of a task, one at a time"),
    "parts": ("(task, slot)", "the prompts of each value of a slot"),
    "subsets": ("(D)", "the subsets of a list; to be drawn or searched"),
    "inputs": ("(task)", "every prompt that the slots allow; to be drawn or searched"),
    "circuits": ("(n)", "circuits of n edges; to be drawn or searched"),
    "paths": ("(M)", "the paths from input to logits; to be drawn"),
    "pairs": ("(A, B)", "pairs of members; to be drawn or searched"),
    "random": ("(D, n)", "members of a domain, drawn with the task's seed: n of them"),
    "greedy": ("(D, runs =, steps =, width =)", "the worst members that a greedy search finds"),
    "search": ("(D, budget =)", "the worst members that a search finds"),
}
OTHER_CALLS = {
    "F": (
        "(S on .. under .. by .. with .. free ..)",
        "the mean metric when the edges of S carry their recomputed value and all others "
        "the ablation's",
    ),
    "size": ("(S)", "how many edges, or nodes, a set has"),
    "abs": ("(x)", "the absolute value"),
    "square": ("(x)", "the square"),
    "sqrt": ("(x)", "the square root"),
    "log": ("(x)", "the natural logarithm"),
    "exp": ("(x)", "e to the power of x"),
    "edges_from": ('("file.json")', "a circuit from a file"),
    "first": ("(label)", "the first token of a label's span"),
    "last": ("(label)", "the last token of a label's span"),
    "independence": ("(A, B)", "the p-value of a test that two runs' outputs are independent"),
    "path_effect": ("(A, R)", "F(M) less F where R reads what paths from A bring, ablated"),
    "cpr": ('("scores.json")', "the area under the recovered share, over MIB's sizes (1 is ideal)"),
    "cmd": ('("scores.json")', "the area between the recovered share and 1, over MIB's sizes"),
}
ABLATION_CALLS = {
    "resample": ("(corruption)", "an edge outside the set carries its value on that corruption"),
    "donors": ("(corruption, n)", "it carries its value on another prompt; the mean over n draws"),
    "constants": ('("means.safetensors")', "it carries the vector that a file has for its sender"),
}
TEXT_CALLS = {
    "file": ('("names.txt")', "the lines of a file beside the spec"),
    "rows": ('("pairs.jsonl", "column", ..)', "the rows of a JSONL, CSV or TSV file, as tuples"),
    "token_ids": ("(low..high, length = n)", "sequences of token ids"),
    "token_count": ('("text")', "how many tokens a text has"),
    "distinct": ("(A, B, ..)", "true when all values differ"),
}
CALLS = {
    **OTHER_CALLS,
    **STATISTIC_CALLS,
    **DOMAIN_CALLS,
    **METRIC_CALLS,
    **ABLATION_CALLS,
    **TEXT_CALLS,
}
# function -> what its arguments with a name say
NAMED_ARGUMENTS = {
    "greedy": {
        "runs": "how many chains of sets are grown from the empty one (10 when it is not said)",
        "steps": "how many additions a chain has (10 when it is not said)",
        "width": "how many additions each step tries (10 when it is not said)",
    },
    **{f: {"scores": '`"absolute"` ranks edges by size of score'} for f in ("cpr", "cmd")},
    "dla": {"norm": "`frozen`: the scale that the run's last residual has; `none`: no norm"},
    "path_effect": {"through": "the nodes that pass a change on (`mlps` when it is not said)"},
    "search": {"budget": "how many members are tried (100 when it is not said)"},
    "circuits": {
        "sampler": 'how circuits are drawn: `"paths"` from input to logits (when it is not said), '
        'or so many `"edges"`',
    },
    "edges_from": {
        "top": "takes so many edges, those with the highest scores",
        "threshold": "takes the edges that score at least this",
        "scores": 'compares scores as they are, `"signed"`, or their size, `"absolute"`',
    },
    "token_ids": {"length": "how many tokens a sequence has"},
}
ARGUMENTS = {k: v for named in NAMED_ARGUMENTS.values() for k, v in named.items()}
SIGNS = {
    "->": "all edges from the nodes on the left to the nodes on the right",
    "@": "keeps what happens at one place of the prompt, or at several: `@ END`, `@ [A, B + 1]`",
    "&": "what both sets have",
    "+": "both sets together; or a sum; or so many tokens further on",
    "-": "the first set without the second; or a difference; or so many tokens before",
    "..": "from one number to another, both included",
    "==": "equality: only of numbers that need no run, such as sizes",
    "!=": "inequality: only of numbers that need no run, such as sizes",
}
PORTS = {
    "q": "what the head asks with: where it attends from",
    "k": "what the head is found by: where it attends to",
    "v": "what the head copies from there",
}


def port_meaning(port: str) -> str:
    return "; ".join(f"{letter}: {PORTS[letter]}" for letter in port if letter in PORTS)
