"""tools/letter_scene: from ids to slots of history, in the order of the ledger."""

from pathlib import Path

import pytest

from rmf.core.packet import Stamp
from rmf.errors import RmfError, StorageError
from tests import shop
from tests.driven_node import DrivenNode
from tests.tools.again import node
from tools.letter_scene import id_of, scenes, stamp_of

__all__ = ["node"]


def test_the_id_of_a_line_letter_is_its_stamp(tmp_path: Path) -> None:
    """No DLQ and no ledger is asked."""
    assert stamp_of("3.1841.2", tmp_path) == Stamp(3, 1841, 2)
    assert id_of(Stamp(3, 1841, 2)) == "3.1841.2"


def test_many_slots_come_in_one_walk_in_the_ledgers_order(node: DrivenNode) -> None:
    asked = [shop.EXPIRY, shop.NO_KEY, shop.NO_STOCK, shop.NO_KEY]
    found = list(scenes(node.path, [stamp_of(letter, node.path) for letter in asked]))
    assert [id_of(scene.stamp) for scene in found] == [shop.NO_STOCK, shop.NO_KEY, shop.EXPIRY]


def test_what_is_no_letter_of_a_line_says_why(node: DrivenNode, tmp_path: Path) -> None:
    with pytest.raises(RmfError, match="unknown_letter"):
        stamp_of("n1:edge:1", node.path)
    with pytest.raises(RmfError, match="bagged by the latch"):
        list(scenes(node.path, [stamp_of(shop.LATCH, node.path)]))
    with pytest.raises(StorageError, match="has no Tick 10000 of term 1"):
        list(scenes(node.path, [Stamp(1, 10_000, 0)]))
    node.store.close()
    node.directory.dlq_path.unlink()
    with pytest.raises(RmfError, match=r"those are TERM\.TICK\.SLOT"):
        stamp_of("n1:edge:1", node.path)
