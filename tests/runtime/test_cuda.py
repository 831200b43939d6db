"""On a GPU: the CPU's numbers, in float32 proper, without waiting, within the planned memory.

What is marked `gpu` is skipped where there is no CUDA device; the rest holds anywhere.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from circuitlang import pipeline
from circuitlang.compiler.pieces import Budget, Planner
from circuitlang.language.graph.edges import END, NOTHING, Position
from circuitlang.language.spec import Ablation, ModelReference, Run
from circuitlang.runtime.adapters import Adapter, adapter_for
from circuitlang.runtime.attribution import attribute
from circuitlang.runtime.invariants import check_invariants
from circuitlang.runtime.measure import measure
from circuitlang.runtime.memory import is_out_of_memory
from circuitlang.runtime.models import LoadedModel, load
from circuitlang.runtime.planned import PlannedExecution
from circuitlang.runtime.unavailable import ModelUnavailable
from tests.runtime.test_attribution import DIFFERENCE, RESAMPLE
from tests.runtime.test_constants import written
from tests.runtime.test_donors import CLEAN, DONORS, drawn
from tests.runtime.test_planned import (
    ABLATIONS,
    JUMPING,
    PROMPTS,
    alike,
    assert_equal,
    larger_runs,
    largest_logit,
    live_sets,
    smooth_metrics,
    workload,
)
from tests.test_search import EDGES
from tests.tiny_models import CONTEXT, FAMILIES, VOCABULARY, prompt_set, reference_to

SPECS = Path(__file__).parent.parent.parent / "specs"
PRODUCTS = ("highest", "high", "medium")


def gpu(test):
    missing = not torch.cuda.is_available()
    return pytest.mark.gpu(pytest.mark.skipif(missing, reason="needs a CUDA device")(test))


@pytest.fixture(scope="module")
def on_gpu(tiny_folder) -> Callable[..., LoadedModel]:
    """A family's tiny checkpoint on the GPU."""
    loaded: dict[tuple[str, str], LoadedModel] = {}

    def model(family: str, dtype: str = "float32") -> LoadedModel:
        if (family, dtype) not in loaded:
            reference = reference_to(tiny_folder(family), dtype)
            loaded[family, dtype] = load(reference, Path(), "cuda", lambda stage: None)
        return loaded[family, dtype]

    return model


@contextmanager
def products(allowed: str) -> Iterator[None]:
    """How float32 matrices may be multiplied in this process."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(allowed)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


@contextmanager
def no_waiting() -> Iterator[None]:
    """Raises where the host waits for the GPU."""
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def nothing(*about: object) -> None:
    pass


# ---------------------------------------------------------------- the same numbers


@gpu
@pytest.mark.parametrize("family", FAMILIES)
def test_numbers_are_those_of_the_reference_executor_on_the_cpu(tiny, on_gpu, family):
    model = tiny(family, "float64")
    assert on_gpu(family).adapter is not None
    requests = workload(model.reference, random.Random(family))
    scale = largest_logit(model, PROMPTS)
    slow = measure(model, PROMPTS, requests, reference=True)
    exact = measure(on_gpu(family, "float64"), PROMPTS, requests)
    apart = [np.abs(v - slow[a]).max() for a, v in exact.items() if a[1] not in JUMPING]
    print(f"{family}: {max(apart) / scale:.1e} of the largest logit apart")
    assert_equal(exact, slow, 1e-12 * scale)
    rounded = measure(on_gpu(family), PROMPTS, requests)
    assert_equal(rounded, slow, 1e-5 * scale, jumping=False)


@gpu
@pytest.mark.parametrize("family", ["gpt2", "gemma2"])
def test_every_ablation_gives_what_it_gives_on_the_cpu(tiny, on_gpu, family, tmp_path):
    model, prompts, rng = tiny(family, "float64"), drawn(), random.Random(family)
    constants, _ = written(tmp_path / "c.safetensors", model)
    sets = live_sets(model.architecture, rng)
    ablations = [DONORS, CLEAN, constants, *ABLATIONS]
    runs = [Run(model.reference, "task", a, s) for a in ablations for s in (*sets[:6], NOTHING)]
    requests = {run: [*smooth_metrics(runs[0], runs[1]), *JUMPING] for run in runs}
    limit = 1e-11 * largest_logit(model, prompts)
    slow = measure(model, prompts, requests, reference=True)
    assert_equal(measure(on_gpu(family, "float64"), prompts, requests), slow, limit)
    there = measure(on_gpu(family, "float64"), prompts, requests, reference=True)
    assert_equal(there, slow, limit)


@gpu
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("family", FAMILIES)
def test_invariants_hold(on_gpu, family, dtype):
    model = on_gpu(family, dtype)
    requests = workload(model.reference, random.Random(family))
    report = check_invariants(model, PROMPTS, requests)
    largest = max(invariant.deviation for invariant in report.invariants)
    print(f"{family} {dtype}: {largest:.1e}")
    assert report.passed
    assert largest < (1e-5 if dtype == "float32" else 1e-12)


# ---------------------------------------------------------------- whole checks


def searched(folder: Path) -> Path:
    text = EDGES.read_text(encoding="utf-8")
    head = text[: text.index("assume able")].replace("sample 64", "sample 40")
    path = folder / "searched.circ"
    path.write_text(
        head
        + """
claim lean_is_not_complete:
  forall K in greedy(subsets(heads), runs = 3, steps = 3, width = 12):
    incompleteness(lean, K) <= 20% * effect
claim full_is_complete:
  forall K in search(subsets(heads), budget = 20): incompleteness(full, K) <= 20% * effect
""",
        encoding="utf-8",
    )
    return path


@gpu
@pytest.mark.parametrize("name", ["first", "edges", "who_likes_what", "searched"])
def test_a_check_comes_to_the_same_verdicts(tmp_path, name):
    path = searched(tmp_path) if name == "searched" else SPECS / "toy" / f"{name}.circ"
    options = pipeline.Options(stored=False, against_reference=name == "first")
    here, there = (
        pipeline.check(path, replace(options, device=device), pipeline.Silent())
        for device in ("cpu", "cuda")
    )
    verdicts = [[(r.name, r.verdict, r.ok) for r in one.results] for one in (here, there)]
    assert verdicts[0]
    assert verdicts[0] == verdicts[1]
    assert here.exit_code == there.exit_code
    # A greedy search takes the better of two sets, and between equals the last bit decides.
    both = here.measured.values.keys() & there.measured.values.keys()
    assert len(both) == len(here.measured.values) or name == "searched"
    for asked in both:
        assert there.measured.values[asked] == pytest.approx(here.measured.values[asked], abs=1e-4)


# ---------------------------------------------------------------- not one wait


@gpu
@pytest.mark.parametrize("family", ["gpt2", "neox", "qwen2_window", "gemma3"])
def test_executing_a_plan_waits_for_nothing(on_gpu, family):
    """Neither the values nor the numbers read from them, however new the plan and its tables."""
    model, prompts = on_gpu(family), alike(prompt_set([8] * 6, references=12), 6)
    requests = workload(model.reference, random.Random(family))
    measure(model, prompts, requests)
    execution = PlannedExecution(model, prompts, requests, 1 << 30, 2)
    pieces = list(execution.planner.pieces())
    assert len(pieces) == 3
    with no_waiting():
        found = [execution.execute(piece, nothing) for piece in pieces]
    assert all(vectors.isfinite().any() for _, vectors in found)
    with no_waiting(), pytest.raises(RuntimeError, match="synchroniz"):
        found[0][1].cpu()


@pytest.mark.parametrize("family", ["gpt2", "neox", "qwen2_window", "gemma3"])
def test_executing_a_plan_reads_no_tensor(tiny, family):
    """On a device without numbers, where reading one is an error."""
    loaded = tiny(family)
    plain = deepcopy(loaded.plain).to("meta")
    model = replace(loaded, plain=plain, adapter=adapter_for(plain), device=torch.device("meta"))
    prompts = alike(prompt_set([8] * 2, references=4), 2)
    requests = workload(model.reference, random.Random(family))
    execution = PlannedExecution(model, prompts, requests, 1 << 30, 2)
    (piece,) = execution.planner.pieces()
    asked, vectors = execution.execute(piece, nothing)
    assert vectors.is_meta
    assert vectors.shape == (len(asked), 2)
    with pytest.raises(RuntimeError, match="meta"):
        vectors[0, 0].item()


# ---------------------------------------------------------------- float32 proper


@gpu
def test_a_process_that_allows_tf32_gets_the_same_numbers(on_gpu):
    model, found = on_gpu("llama"), []
    requests = workload(model.reference, random.Random(0))
    for allowed in PRODUCTS:
        with products(allowed):
            found.append(measure(model, PROMPTS, requests))
            assert torch.get_float32_matmul_precision() == allowed
    for other in found[1:]:
        assert_equal(other, found[0], 1e-6 * largest_logit(model, PROMPTS))
    square = torch.randn(512, 512, device="cuda")
    exact = square @ square
    with products("high"):
        assert (square @ square - exact).abs().max() > 1e-3, "TF32 makes a difference here"


@pytest.mark.parametrize("newer", [False, True])
def test_products_are_exact_in_a_run_and_as_before_after_it(tiny, monkeypatch, newer):
    """Whether the process says so through torch's older switch or the newer ones."""
    switch = torch.backends.cuda.matmul
    if newer and not hasattr(torch.backends.mkldnn, "matmul"):
        pytest.skip("this torch has the older switch alone")
    seen, logits = [], Adapter.logits

    def watched(adapter, x, tokens=None):
        seen.append((torch.get_float32_matmul_precision(), switch.allow_tf32))
        return logits(adapter, x, tokens)

    monkeypatch.setattr(Adapter, "logits", watched)
    model = tiny("gpt2")
    requests = workload(model.reference, random.Random(0))
    with products("highest" if newer else "medium"):
        if newer:
            switch.fp32_precision = "tf32"
        measure(model, PROMPTS, requests)
        if newer:
            assert switch.fp32_precision == "tf32"
        else:
            assert (torch.get_float32_matmul_precision(), switch.allow_tf32) == ("medium", True)
        torch.set_float32_matmul_precision("highest")
    assert set(seen) == {("highest", False)}


def test_the_model_with_hooks_has_the_buffers_of_the_plain_one(tiny):
    """Rotary frequencies worked out on another device are rounded in another way."""
    for family in ("llama", "gemma3"):
        model = tiny(family)
        plain = {buffer.data_ptr() for buffer in model.plain.buffers()}
        hooked = {buffer.data_ptr() for buffer in model.bridge.original_model.buffers()}
        assert plain
        assert hooked >= plain


# ---------------------------------------------------------------- memory


@pytest.fixture(scope="module")
def wide(tmp_path_factory) -> LoadedModel:
    """Four layers of four heads, 512 wide, on the GPU."""
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    sizes = {"n_layer": 4, "n_head": 4, "n_embd": 512, "n_positions": CONTEXT}
    folder = tmp_path_factory.mktemp("wide")
    GPT2LMHeadModel(GPT2Config(vocab_size=VOCABULARY, **sizes)).save_pretrained(folder)
    return load(reference_to(folder), Path(), "cuda", nothing)


WIDE_PROMPTS = alike(prompt_set([20] * 128, references=32), 128)


def wide_requests(model: ModelReference, kind: str, ablation: Ablation):
    runs = larger_runs(model, kind, ablation)
    return dict.fromkeys(runs, smooth_metrics(runs[0], runs[0])[:1])


@gpu
@pytest.mark.parametrize("kind", ["C - e", "M - K"])
@pytest.mark.parametrize("ablation", [ABLATIONS[0], ABLATIONS[2]], ids=str)
def test_a_plan_takes_the_memory_it_says(wide, kind, ablation):
    """Within a third, and 32 MiB for what the libraries take beside."""
    requests = wide_requests(wide.reference, kind, ablation)
    execution = PlannedExecution(wide, WIDE_PROMPTS, requests, 1 << 36, 64)
    first, second = execution.planner.pieces()
    execution.execute(first, nothing)
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    execution.execute(second, nothing)
    peak = torch.cuda.max_memory_allocated() - before
    print(f"{kind} {ablation}: {second.bytes:,} planned, {peak:,} measured")
    assert second.bytes > 1 << 26
    assert second.bytes / 1.33 <= peak <= 1.33 * second.bytes + (1 << 25)


@contextmanager
def at_most(more: int) -> Iterator[None]:
    """Lets the process take so many bytes of the GPU besides those it holds."""
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    _, total = torch.cuda.mem_get_info()
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + more) / total)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
        torch.cuda.empty_cache()


@gpu
def test_a_piece_that_does_not_fit_is_halved_until_it_does(wide, monkeypatch):
    halves, halved = Planner.halves, []
    monkeypatch.setattr(Planner, "halves", lambda *of: halved.append(of) or halves(*of))
    requests = wide_requests(wide.reference, "M - K", ABLATIONS[0])
    expected = measure(wide, WIDE_PROMPTS, requests, memory=1 << 36)
    assert not halved
    (piece,) = Planner(requests, WIDE_PROMPTS.prompts, Budget(1 << 36, 4)).pieces()
    with at_most(piece.bytes // 2):
        found = measure(wide, WIDE_PROMPTS, requests, memory=1 << 36)
    print(f"halved {len(halved)} times")
    assert 0 < len(halved) < 32
    assert_equal(found, expected, 1e-5 * largest_logit(wide, WIDE_PROMPTS))


def all_that_is_left() -> list[torch.Tensor]:
    """Takes what the process may still have, down to the smallest block."""
    taken = []
    for size in (1 << 24, (1 << 20) + 512, 1 << 16, 512):
        with suppress(torch.OutOfMemoryError):
            while True:
                taken.append(torch.empty(size, dtype=torch.uint8, device="cuda"))
    return taken


@gpu
def test_memory_that_is_never_enough_is_said(wide):
    requests = wide_requests(wide.reference, "M - K", ABLATIONS[0])
    with at_most(0):
        taken = all_that_is_left()
        with pytest.raises(ModelUnavailable, match="not enough memory to run it"):
            measure(wide, WIDE_PROMPTS, requests, memory=1 << 36)
        del taken
    assert measure(wide, WIDE_PROMPTS, requests)


@pytest.mark.parametrize(
    ("message", "known"),
    [
        ("CUDA out of memory. Tried to allocate 20.00 MiB.", True),
        ("CUDA error: out of memory", True),
        ("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", True),
        ("[enforce fail] DefaultCPUAllocator: can't allocate memory", True),
        ("CUDA error: an illegal memory access was encountered", False),
    ],
)
def test_running_out_of_memory_is_told_by_its_words(message, known):
    assert is_out_of_memory(RuntimeError(message)) is known


# ---------------------------------------------------------------- devices


def command(device: str) -> subprocess.CompletedProcess[str]:
    words = ["check", str(SPECS / "toy" / "first.circ"), "--no-store", "--device", device]
    environment = {**os.environ, "CIRC_TRACEBACK": "1"}
    return subprocess.run(
        [sys.executable, "-m", "circuitlang.cli", *words],
        capture_output=True, text=True, check=False, env=environment,
    )  # fmt: skip


@gpu
@pytest.mark.slow
def test_the_command_runs_on_the_gpu():
    done = command("cuda")
    assert (done.returncode, done.stderr) == (0, "")


@gpu
def test_a_gpu_that_is_not_there(tiny_folder):
    with pytest.raises(
        ModelUnavailable, match=r"there are \d+ CUDA devices, not cuda:99"
    ) as caught:
        load(reference_to(tiny_folder("gpt2")), Path(), "cuda:99", nothing)
    assert caught.value.help == "--device cuda"


@pytest.mark.parametrize("device", ["mps", "meta", "xpu"])
def test_devices_that_models_do_not_run_on(tiny_folder, device):
    with pytest.raises(ModelUnavailable, match=f"models do not run on '{device}'") as caught:
        load(reference_to(tiny_folder("gpt2")), Path(), device, nothing)
    assert caught.value.help == "--device cpu"


@gpu
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("steps", [None, 3])
def test_attribution_on_the_gpu_is_the_cpus(tiny, on_gpu, family, steps):
    prompts = prompt_set([7, 9, 7, 7])
    places = (Position("A"), Position(END))
    expected, found = (
        attribute(model, prompts, DIFFERENCE, RESAMPLE, steps=steps, places=places).scores
        for model in (tiny(family, "float64"), on_gpu(family, "float64"))
    )
    np.testing.assert_allclose(found, expected, atol=1e-9 * np.abs(expected).max(), rtol=0)
