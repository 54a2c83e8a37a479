"""What tests of tools that run letters again share: a shop's data, and a tool run in-process."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import shop
from tests.driven_node import DrivenNode


class Run:
    """One run of a tool: its exit code and what it printed."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def objects(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def object(self) -> Any:
        (found,) = self.objects
        return found


Runner = Callable[..., Run]


@pytest.fixture
def node(tmp_path: Path) -> Iterator[DrivenNode]:
    """A node that ran the shop, and is still at work: tools read beside it."""
    with shop.shop_in(tmp_path) as made:
        yield made


@pytest.fixture
def spec(tmp_path: Path, node: DrivenNode) -> str:
    """What stands behind --line for the line that it ran."""
    return f"{tmp_path}/shop.py:line"


@pytest.fixture
def mended(tmp_path: Path) -> str:
    return shop.shop_file(tmp_path / "mended.py", mended=True)
