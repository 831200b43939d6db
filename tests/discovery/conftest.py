from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from circuitlang.discovery.experiment import Context, Experiment
from tests.discovery.tiny import make_spec, opened


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Threads cost tiny models more than they give."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tiny_spec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_spec(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def tiny(tiny_spec: Path) -> Iterator[Experiment]:
    with opened(tiny_spec) as found:
        yield found


@pytest.fixture(scope="module", params=[None, "nothing"], ids=["swap", "zero"])
def either(tiny_spec: Path, request: pytest.FixtureRequest) -> Iterator[Experiment]:
    """Under values of a run, and under zeros."""
    with opened(tiny_spec, Context(under=request.param)) as found:
        yield found
