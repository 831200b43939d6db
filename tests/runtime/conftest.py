from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.tiny_models import reference_to, save_model

if TYPE_CHECKING:
    from circuitlang.runtime.models import LoadedModel


def ignore(message: str) -> None:
    pass


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a family's tiny checkpoint, saved once per session."""
    saved: dict[str, Path] = {}

    def folder(family: str) -> Path:
        if family not in saved:
            saved[family] = save_model(family, tmp_path_factory.mktemp("models") / family)
        return saved[family]

    return folder


@pytest.fixture(scope="session")
def tiny(tiny_folder: Callable[[str], Path]) -> Callable[..., LoadedModel]:
    """A family's tiny checkpoint, loaded once per session and dtype."""
    from circuitlang.runtime.models import load

    loaded: dict[tuple[str, str], LoadedModel] = {}

    def model(family: str, dtype: str = "float32") -> LoadedModel:
        if (family, dtype) not in loaded:
            reference = reference_to(tiny_folder(family), dtype)
            loaded[family, dtype] = load(reference, Path(), "cpu", ignore)
        return loaded[family, dtype]

    return model
