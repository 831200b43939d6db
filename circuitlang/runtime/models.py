"""Loads a model: reference to weights, in a form whose every edge can be written.

Takes a `ModelReference` and gives a `LoadedModel`: the Hugging Face model untouched
(`plain`), and a twin that shares its weights inside a TransformerLens bridge (`bridge`).
Under grouped-query attention the twin's keys and values are expanded to one per query
head, so that each query head has k and v inputs of its own.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from circuitlang.language.graph.architecture import Architecture, Node, Shape, architecture
from circuitlang.language.models.config import shape_from_config
from circuitlang.language.models.find import (
    Found,
    ModelNotFound,
    find,
    suggestions,
)
from circuitlang.language.spec import ModelReference
from circuitlang.runtime.adapters import Adapter, Unadapted, adapter_for, prove
from circuitlang.runtime.precision import precision
from circuitlang.runtime.quiet import quiet
from circuitlang.runtime.smollm2 import ensure_smollm2
from circuitlang.runtime.unavailable import ModelUnavailable

Progress = Callable[[str], None]

DTYPES = {"float32": torch.float32, "float64": torch.float64}
LOAD_LIMIT = 1e-4
ADAPTER_LIMITS = {torch.float32: 1e-5, torch.float64: 1e-9}


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A model ready to run. Inputs are token ids, [batch, position]; nothing tokenizes.

    `plain` is the model as published; `bridge` has the hooks. `loading_error` is the
    largest difference of their logits on random tokens, relative to the largest logit.
    `adapter` lets the fast executor compute single nodes; None says, with `adapter_note`, why
    runs go through the reference executor instead.
    """

    reference: ModelReference
    found: Found
    architecture: Architecture
    plain: Any
    bridge: Any
    device: torch.device
    dtype: torch.dtype
    loading_error: float
    adapter: Adapter | None = None
    adapter_note: str = ""

    @property
    def shape(self) -> Shape:
        return self.architecture.shape

    @torch.no_grad()
    def unhooked(self, tokens: Tensor, positions: Tensor | None = None) -> Tensor:
        """Logits [batch, position, vocab] of the published model, at `positions` or everywhere."""
        keep: Any = 0 if positions is None else positions
        with precision(self.dtype):
            logits: Tensor = self.plain(
                input_ids=tokens, logits_to_keep=keep, use_cache=False
            ).logits
        return logits

    @torch.no_grad()
    def lens(self, outputs: Tensor) -> Tensor:
        """What the published model's final norm and unembedding make of `outputs`.

        [..., d_model] to logits [..., vocab]: the logit lens of a node's own output.
        """
        with precision(self.dtype):
            normed = self.bridge.ln_final.original_component(outputs)
            logits: Tensor = self.plain.get_output_embeddings()(normed)
        cap = getattr(self.plain.config, "final_logit_softcapping", None)
        return logits if cap is None else torch.tanh(logits / cap) * cap

    def unembedded(self, x: Tensor) -> Tensor:
        """`x` [..., d_model] times the published model's unembedding, without norm and soft-cap."""
        logits: Tensor = self.plain.get_output_embeddings()(x)
        return logits

    def scaled(self, part: Tensor, whole: Tensor) -> Tensor:
        """What `part` of the last residual `whole` is in the published model's final norm of it."""
        norm = self.bridge.ln_final.original_component
        weight = norm.weight.double()
        if self.shape.post_norm:
            weight = 1 + weight  # Gemma's norms store what is added to 1
        part, whole = part.double(), whole.double()
        if hasattr(norm, "bias"):
            part, whole = (x - x.mean(-1, keepdim=True) for x in (part, whole))
        eps = next(e for e in map(vars(norm).get, ("eps", "variance_epsilon")) if e is not None)
        spread = (whole.square().mean(-1, keepdim=True) + eps).sqrt()
        return (part / spread * weight).to(self.dtype)

    def copied(self, head: Node, stream: Tensor) -> Tensor:
        """What `head` writes for a token it attends to alone: value bias and output weights
        included, from the `stream` after block 0 in the norm of block 1. Both [..., d_model]."""
        assert head.layer is not None
        block = self.bridge.blocks[head.layer]
        with precision(self.dtype):
            normed = self.bridge.blocks[1].ln1.original_component(stream)
            values = block.attn.v(normed)
        width = self.shape.d_head
        own = slice(head.head * width, (head.head + 1) * width)
        alone = torch.zeros_like(values)
        alone[..., own] = values[..., own]
        projection = block.attn.o.original_component
        written: Tensor = projection(alone)
        bias = getattr(projection, "bias", None)
        return written if bias is None else written - bias


def load(reference: ModelReference, base: Path, device: str, progress: Progress) -> LoadedModel:
    """Finds, loads and checks the model; `base` is the spec's folder.

    Raises `ModelUnavailable` for everything that can go wrong on the way.
    """
    name = reference.reference
    where = _device(name, device)
    dtype = DTYPES.get(reference.dtype)
    if dtype is None:
        raise ModelUnavailable(
            name, f"dtype {reference.dtype!r} is not supported", 'dtype "float32"'
        )
    found = _found(reference, base, progress)
    progress(f"loading {found.title}")
    with quiet(), explained(name):
        plain = _pretrained(reference, found).to(device=where, dtype=dtype).eval()
        shape = shape_from_config(plain.config.to_dict())
        _check_shape(reference, shape)
        plain.requires_grad_(False)
        bridge = _bridge(plain, dtype)
        error = _check_twin(name, plain, bridge, shape)
        adapter, note = _adapter(plain, dtype)
    if found.commit is None and found.kind == "hub":
        found = find(name, reference.revision, base)
    return LoadedModel(
        reference, found, architecture(shape), plain, bridge, where, dtype, error, adapter, note
    )


def _device(name: str, device: str) -> torch.device:
    try:
        where = torch.device(device)
    except RuntimeError as error:
        raise ModelUnavailable(name, f"there is no device {device!r}", "--device cpu") from error
    if where.type not in ("cpu", "cuda"):
        raise ModelUnavailable(name, f"models do not run on {device!r}", "--device cpu")
    if where.type == "cuda" and not torch.cuda.is_available():
        raise ModelUnavailable(name, "this machine has no CUDA device", "--device cpu")
    if where.type == "cuda" and (where.index or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise ModelUnavailable(
            name, f"there are {count} CUDA devices, not {device}", "--device cuda"
        )
    return where


def _found(reference: ModelReference, base: Path, progress: Progress) -> Found:
    name = reference.reference
    try:
        found = find(name, reference.revision, base)
        if found.kind == "smollm2":
            ensure_smollm2(progress)
            found = find(name, reference.revision, base)
    except ModelNotFound as error:
        meant = " or ".join(f'"{other}"' for other in error.suggestions)
        raise ModelUnavailable(
            name, error.reason, f"did you mean {meant}?" if meant else ""
        ) from error
    if found.shape is not None and not found.shape.mlps:
        raise ModelUnavailable(
            name,
            "attention-only TransformerLens models are published as pickles, which are not loaded",
            "convert it to a safetensors folder with MLPs of zeros, or use another model",
        )
    return found


def _pretrained(reference: ModelReference, found: Found) -> Any:
    from transformers import AutoModelForCausalLM

    where = reference.reference
    options: dict[str, Any] = {"revision": reference.revision or "main"}
    if found.folder is not None and (found.kind != "hub" or _has_weights(found.folder)):
        where, options = str(found.folder), {"local_files_only": True}
    loaded: Any = AutoModelForCausalLM.from_pretrained(
        where,
        dtype=torch.float32,
        attn_implementation="eager",
        use_safetensors=True,
        trust_remote_code=False,
        output_loading_info=True,
        **options,
    )
    model, report = loaded
    if missing := sorted(report["missing_keys"]):
        reason = f"its weights file lacks {len(missing)} tensors, {missing[0]} among them"
        raise ModelUnavailable(reference.reference, reason, "download or write it again")
    return model


def _has_weights(folder: Path) -> bool:
    return any(folder.glob("*.safetensors"))


def _check_shape(reference: ModelReference, shape: Shape) -> None:
    said = reference.shape
    numbers = [(s.layers, s.heads, s.parallel, s.mlps) for s in (said, shape)]
    if numbers[0] != numbers[1]:
        raise ModelUnavailable(
            reference.reference,
            f"the loaded model has {shape.layers} layers of {shape.heads} heads, "
            f"but the spec was resolved for {said.layers} layers of {said.heads}",
            "run again: the model is cached now and its own config is used",
        )


# ---------------------------------------------------------------- the twin with hooks


def _bridge(plain: Any, dtype: torch.dtype) -> Any:
    from transformer_lens.model_bridge.sources._bridge_builder import build_bridge_from_module

    twin = _twin(plain)
    name = type(twin).__name__
    device = next(twin.parameters()).device
    bridge = build_bridge_from_module(
        twin, name, hf_config=twin.config, dtype=dtype, device=device, model_name="twin"
    )
    bridge.eval()
    bridge.set_use_attn_result(True)
    bridge.set_use_split_qkv_input(True)
    bridge.set_use_hook_mlp_in(True)
    return bridge


def _twin(plain: Any) -> Any:
    """A second module over the same weights, its keys and values expanded to every query head."""
    from transformers.initialization import no_init_weights

    config = copy.deepcopy(plain.config)
    config._attn_implementation = "eager"
    state = dict(plain.state_dict())
    heads = config.num_attention_heads
    groups = getattr(config, "num_key_value_heads", heads) or heads
    if groups != heads:
        config.num_key_value_heads = heads
        for name in [n for n in state if ".k_proj." in n or ".v_proj." in n]:
            state[name] = _expanded(state[name], groups, heads // groups)
    first = next(plain.parameters())
    with no_init_weights(), torch.device(first.device):
        twin = type(plain)(config)
    twin.to(first.dtype)
    twin.load_state_dict(state, assign=True)
    for name, buffer in plain.named_buffers():  # what is computed here may be rounded otherwise
        owner, _, own = name.rpartition(".")
        setattr(twin.get_submodule(owner), own, buffer)
    return twin.eval().requires_grad_(False)


def _expanded(weight: Tensor, groups: int, times: int) -> Tensor:
    """Rows [groups * d_head, ...] repeated per group, as repeat_kv does to keys and values."""
    grouped = weight.reshape(groups, -1, *weight.shape[1:])
    return grouped.repeat_interleave(times, dim=0).reshape(-1, *weight.shape[1:]).contiguous()


@torch.no_grad()
def _check_twin(name: str, plain: Any, bridge: Any, shape: Shape) -> float:
    generator = torch.Generator().manual_seed(0)
    length = min(7, shape.context or 7)
    tokens = torch.randint(shape.vocab, (2, length), generator=generator)
    tokens = tokens.to(next(plain.parameters()).device)
    with precision(next(plain.parameters()).dtype):
        expected = plain(input_ids=tokens, use_cache=False).logits.double()
        actual = bridge(tokens, use_cache=False).double()
    scale = expected.abs().max().item()
    error = (actual - expected).abs().max().item() / scale if scale else 0.0
    if not error < LOAD_LIMIT:
        raise ModelUnavailable(
            name,
            f"TransformerLens computes other logits than transformers (relative error {error:.1e})",
            "this architecture is not supported by the installed transformer-lens",
        )
    return error


def _adapter(plain: Any, dtype: torch.dtype) -> tuple[Adapter | None, str]:
    """An adapter that has shown to compute the model's own logits, or why there is none."""
    try:
        adapter = adapter_for(plain)
    except Unadapted as problem:
        return None, problem.reason
    error = prove(adapter, plain, dtype)
    if not error <= ADAPTER_LIMITS[dtype]:
        return None, f"its adapter computes other logits (relative error {error:.1e})"
    return adapter, ""


# ---------------------------------------------------------------- errors in words


@contextmanager
def explained(name: str) -> Iterator[None]:
    """Turns what loading a model may raise into `ModelUnavailable`."""
    try:
        yield
    except ModelUnavailable:
        raise
    except (torch.OutOfMemoryError, MemoryError) as error:
        reason = "there is not enough memory to load it"
        raise ModelUnavailable(name, reason, "use a smaller model or --device cpu") from error
    except Exception as error:
        reason, help = _explanation(name, error)
        raise ModelUnavailable(name, reason, help) from error


def _explanation(name: str, error: Exception) -> tuple[str, str]:
    from huggingface_hub import errors
    from safetensors import SafetensorError

    causes: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in causes:
        causes.append(cause)
        cause = cause.__cause__ or cause.__context__
    names = {base.__name__ for one in causes for base in type(one).__mro__}

    def any_is(*types: type[BaseException]) -> bool:
        return any(isinstance(one, types) for one in causes)

    meant = suggestions(name)
    did_you_mean = f"did you mean {meant[0]}?" if meant else "check the name on huggingface.co"
    if any_is(errors.GatedRepoError):
        return (
            "its licence must be accepted first",
            f"open https://huggingface.co/{name}, then log in: hf auth login",
        )
    if any_is(errors.RepositoryNotFoundError):
        return "the hub has no such model, or it is private", did_you_mean
    if any_is(errors.RevisionNotFoundError):
        return "the hub has no such revision of it", "check the revision"
    if any_is(SafetensorError):
        return "its weights file is damaged", "download or write it again"
    offline = {
        "ConnectionError",
        "LocalEntryNotFoundError",
        "OfflineModeIsEnabled",
        "ConnectError",
        "TimeoutException",
        "ProxyError",
    }
    if names & offline or "couldn't connect" in str(error):
        return "it is not on this machine and the hub cannot be reached", (
            "connect to the network, or use a local folder; shipped models need neither"
        )
    if "safetensors" in str(error) and isinstance(error, OSError):
        return (
            "it has no safetensors weights, and pickles are not loaded",
            "convert it to safetensors",
        )
    first_line = next(
        (line for line in str(error).splitlines() if line.strip()), type(error).__name__
    )
    return f"it cannot be loaded: {first_line[:300]}", ""
