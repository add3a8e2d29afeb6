"""Scenes by other settings than the usual ones."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.ledger.scene import SETTINGS, Scene, Staged


@pytest.fixture
def staged(tmp_path: Path) -> Iterator[Staged]:
    """Return a function that makes a scene by settings that differ from the usual ones; it is closed with the test."""
    with ExitStack() as scenes:

        def stage(**changes: Any) -> Scene:
            made = Scene(tmp_path / "state.db", replace(SETTINGS, **changes))
            scenes.callback(made.close)
            return made

        yield stage
