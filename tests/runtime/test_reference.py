"""The reference executor against an unhooked forward, a dense evaluator and TransformerLens."""

from __future__ import annotations

import random

import pytest
import torch

from circuitlang.language.graph.architecture import Edge, Node, Receiver, parse_edge
from circuitlang.language.graph.edges import END, NOTHING, EdgeSet, Place, Position, uniform
from circuitlang.runtime.reference import regions_of, run, run_live
from tests.runtime.dense import Weights, evaluate
from tests.tiny_models import FAMILIES, POST_NORM, PRE_NORM, prompt_set

LIMIT = {"float32": 2e-5, "float64": 1e-13}


def tokens_of(prompts, corruption=None):
    return torch.tensor(
        [p.tokens if corruption is None else p.corrupted[corruption] for p in prompts]
    )


def relative(one, other):
    return (one.double() - other.double()).abs().max().item() / max(other.abs().max().item(), 1e-3)


def executed(model, live, values, prompts, heads=()):
    positions = range(len(prompts[0].tokens))
    regions = regions_of(live, [p.layout for p in prompts])
    return run(model, tokens_of(prompts), regions, values, positions, heads)


def expected(model, live, values, prompts):
    rows = [live.rows(p.layout) for p in prompts]
    shaped = None
    if values is not None:
        shaped = [v.view(len(prompts), len(prompts[0].tokens), -1).double() for v in values]
    return evaluate(model.architecture, Weights(model.plain), tokens_of(prompts), rows, shaped)


@pytest.fixture
def prompts():
    return prompt_set([9, 9, 9]).prompts


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_all_edges_live_is_the_model(tiny, family, dtype, prompts):
    model = tiny(family, dtype)
    whole = executed(model, uniform(model.architecture.everything), None, prompts)
    assert whole.logits.dtype == model.dtype
    assert relative(whole.logits, model.unhooked(tokens_of(prompts))) < LIMIT[dtype]


@pytest.mark.parametrize("family", FAMILIES)
def test_no_edge_live_is_the_corrupted_run(tiny, family, prompts):
    model = tiny(family)
    corrupted = tokens_of(prompts, "other")
    nothing = executed(model, NOTHING, run_live(model, corrupted).outputs, prompts)
    assert relative(nothing.logits, model.unhooked(corrupted)) < LIMIT["float32"]


def random_set(rng: random.Random, size: int, density: float) -> EdgeSet:
    return uniform(sum(1 << bit for bit in range(size) if rng.random() < density))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("density", [0.05, 0.5, 0.95])
@pytest.mark.parametrize("kind", ["resample", "zero"])
def test_random_edge_sets_agree_with_the_dense_evaluator(
    tiny, family, dtype, density, kind, prompts
):
    model = tiny(family, dtype)
    rng = random.Random(f"{family} {density} {kind}")
    live = random_set(rng, model.architecture.size, density)
    values, dense = [None] * len(model.architecture.senders), None
    if kind == "resample":
        values = dense = run_live(model, tokens_of(prompts, "other")).outputs
    head = Node("head", 1, 2)
    ours = executed(model, live, values, prompts, [head])
    logits, outputs, patterns = expected(model, live, dense, prompts)
    assert relative(ours.logits, logits) < LIMIT[dtype]
    assert (ours.patterns[head] - patterns["a1.h2"]).abs().max() < LIMIT[dtype] / 2
    for one, other in zip(ours.outputs, outputs, strict=True):
        assert relative(one, other.flatten(0, 1)) < 5 * LIMIT[dtype]


@pytest.mark.parametrize("family", FAMILIES)
def test_positional_sets_agree_with_the_dense_evaluator(tiny, family, prompts):
    model = tiny(family)
    rng = random.Random(family)
    sets = [random_set(rng, model.architecture.size, 0.5) for _ in range(4)]
    span, last = Place((Position("A"), Position("B", "last"))), Place((Position(END),))
    after = Place((Position("A", shift=1),))
    live = (sets[0] | sets[1].at(span)) - (sets[2] & sets[3]).at(last) - sets[0].at(after)
    values = run_live(model, tokens_of(prompts, "other")).outputs
    ours = executed(model, live, values, prompts)
    assert relative(ours.logits, expected(model, live, values, prompts)[0]) < LIMIT["float32"]


@pytest.mark.parametrize("family", PRE_NORM)
@pytest.mark.parametrize("port", ["q", "k", "v"])
def test_one_edge_agrees_with_direct_path_patching(tiny, family, port, prompts):
    """The oracle that ships with TransformerLens; under GQA on the expanded weights.

    It adds a head's difference to what a port reads, without the norm of post-norm blocks.
    """
    from transformer_lens.patching import get_act_patch_direct_path

    model, sender = tiny(family), 1
    clean, corrupted = tokens_of(prompts), tokens_of(prompts, "other")
    _, clean_cache = model.bridge.run_with_cache(clean)
    _, corrupted_cache = model.bridge.run_with_cache(corrupted)
    score = torch.randn(model.shape.vocab, generator=torch.Generator().manual_seed(0))

    def metric(logits):
        return (logits[:, -1] @ score).mean()

    oracle = get_act_patch_direct_path(
        model.bridge,
        corrupted,
        clean_cache,
        corrupted_cache,
        metric,
        0,
        sender,
        port,
        verbose=False,
    )
    everything = uniform(model.architecture.everything)
    values = run_live(model, clean).outputs
    end = (clean.shape[1] - 1,)
    for head in range(model.shape.heads):
        edge = Edge(Node("head", 0, sender), Receiver(Node("head", 1, head), port))
        live = everything - uniform(model.architecture.mask([edge]))
        ours = run(model, corrupted, regions_of(live, [p.layout for p in prompts]), values, end)
        assert metric(ours.logits).item() == pytest.approx(
            oracle[1, head].item(), rel=1e-4, abs=1e-4
        )


EDGES = [
    "a0.h3->m1", "m0->m1", "input->m0", "a0.h2->m0", "a1.h0->logits", "m1->logits",
    "input->logits", "a0.h1->a1.h2<q>", "a0.h0->a1.h3<k>", "m0->a1.h0<v>",
]  # fmt: skip


@pytest.mark.parametrize(
    ("family", "edge"),
    [(f, e) for f in FAMILIES for e in EDGES if (f, e) != ("neox", "a0.h2->m0")],
)
def test_one_edge_is_a_difference_added_where_it_ends(tiny, family, edge, prompts):
    model = tiny(family)
    clean, corrupted = tokens_of(prompts), tokens_of(prompts, "other")
    parsed = parse_edge(edge)
    change = written(model, parsed.sender, clean, corrupted)
    port, node = parsed.receiver.port, parsed.receiver.node

    def add(value, hook):
        if not port:
            return value + change
        value = value.clone()
        value[:, :, node.head] += change
        return value

    reading = f"attn.hook_{port}_input" if port else "hook_mlp_in"
    point = "ln_final.hook_in" if edge.endswith("logits") else f"blocks.{node.layer}.{reading}"
    patched = model.bridge.run_with_hooks(clean, fwd_hooks=[(point, add)])
    live = uniform(model.architecture.everything & ~model.architecture.mask([parsed]))
    values = run_live(model, corrupted).outputs
    assert relative(executed(model, live, values, prompts).logits, patched) < LIMIT["float32"]


def written(model, sender, clean, corrupted):
    """How the clean residual stream changes when one sender's output is the corrupted one."""
    index = model.architecture.sender_index[sender]
    here, there = (
        run_live(model, tokens).outputs[index].view(*tokens.shape, -1)
        for tokens in (clean, corrupted)
    )
    if sender.kind != "head" or not model.shape.post_norm:
        return there - here
    _, cache = model.bridge.run_with_cache(clean)
    attention = cache[f"blocks.{sender.layer}.attn.hook_out"]
    norm = model.plain.model.layers[sender.layer].post_attention_layernorm
    return norm(attention + there - here) - norm(attention)


@pytest.mark.parametrize("family", POST_NORM)
def test_heads_are_mixed_before_their_norm(tiny, family, prompts):
    """Leaving two heads out changes what a layer adds by other than the sum of both changes."""
    model = tiny(family)
    clean, corrupted = tokens_of(prompts), tokens_of(prompts, "other")
    heads = [Node("head", 1, 0), Node("head", 1, 1)]
    one, two = (written(model, head, clean, corrupted) for head in heads)
    added = model.bridge.run_with_hooks(
        clean, fwd_hooks=[("ln_final.hook_in", lambda value, hook: value + one + two)]
    )
    edges = [Edge(head, Receiver(Node("logits"))) for head in heads]
    live = uniform(model.architecture.everything & ~model.architecture.mask(edges))
    both = executed(model, live, run_live(model, corrupted).outputs, prompts).logits
    assert relative(both, added) > 1e-2


def test_forgotten_mixtures_are_mixed_again(tiny, monkeypatch, prompts):
    model = tiny("gemma2")
    live = random_set(random.Random(0), model.architecture.size, 0.5)
    values = run_live(model, tokens_of(prompts, "other")).outputs
    kept = executed(model, live, values, prompts)
    monkeypatch.setattr("circuitlang.runtime.reference.MIXTURE_BYTES", 0)
    assert torch.equal(executed(model, live, values, prompts).logits, kept.logits)


@pytest.mark.parametrize(
    ("family", "option"),
    [
        ("mistral", "sliding_window"),
        ("qwen2_window", "sliding_window"),
        ("gemma2", "sliding_window"),
        ("gemma2", "attn_logit_softcapping"),
        ("gemma2", "final_logit_softcapping"),
        ("gemma3", "sliding_window"),
    ],
)
def test_windows_and_caps_change_the_logits(tiny, monkeypatch, family, option, prompts):
    """What the other tests compare would not show a window or cap that these prompts never meet."""
    model = tiny(family)
    right = expected(model, uniform(model.architecture.everything), None, prompts)[0]
    monkeypatch.setattr(model.plain.config, option, 100 if option == "sliding_window" else None)
    wrong = expected(model, uniform(model.architecture.everything), None, prompts)[0]
    assert relative(wrong, right) > 1e-2


def test_only_the_wanted_positions_have_logits(tiny, prompts):
    model = tiny("gpt2")
    whole = run_live(model, tokens_of(prompts), range(9))
    some = run_live(model, tokens_of(prompts), (2, 8))
    assert some.logits.shape == (3, 2, model.shape.vocab)
    # A product of fewer rows may add in another order: the last bit, no more.
    last_bit = torch.finfo(torch.float32).eps * float(whole.logits.abs().max())
    assert float((some.logits - whole.logits[:, [2, 8]]).abs().max()) <= 4 * last_bit
    assert run_live(model, tokens_of(prompts)).logits.shape[1] == 0


def test_edges_left_out_need_ablated_values(tiny, prompts):
    with pytest.raises(ValueError, match="ablated values"):
        executed(tiny("gpt2"), NOTHING, None, prompts)


def test_key_value_heads_are_expanded_and_weights_shared(tiny):
    model = tiny("llama")
    assert model.shape.kv_heads == 2
    assert model.bridge.cfg.n_key_value_heads in (None, 4)
    assert model.loading_error < 1e-5
    assert model.bridge.blocks[0].mlp.gate.original_component.weight.data_ptr() == (
        model.plain.model.layers[0].mlp.gate_proj.weight.data_ptr()
    )
