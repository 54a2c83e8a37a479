"""What tests of the edge are given."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.floor.kit import Bench, bench


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Bench]:
    """A node's doors and files, without its tasks."""
    with bench(tmp_path) as opened:
        yield opened
