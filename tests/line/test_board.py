from typing import Any

import cbor2
import pytest

from rmf.line import board
from tests.line.bench import row, run


@pytest.mark.parametrize("payload", [21.5, None, {"a": [1, "x", b"y"]}, "text", [], True, -1])
def test_the_board_stores_each_payload_under_its_topic_with_its_shelf_life(payload: Any) -> None:
    executed = run(board, row("some/topic", payload))
    assert [(0, "some/topic", cbor2.dumps(payload), -1)] == executed.listed


def test_the_board_is_version_one_and_listens_to_no_expiry() -> None:
    assert (board.name, board.version, board.expired_filters) == ("board", 1, ())
