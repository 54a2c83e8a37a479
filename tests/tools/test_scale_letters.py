"""What letters cost a node."""

import pytest

from tools.scale_letters import letters


@pytest.mark.long
def test_letters_are_stored_asked_for_and_there_after_a_restart() -> None:
    found = letters(300, 0.0)
    assert found["bytes_each"] > 64
    assert min(found[name] for name in ("stats_ms", "list_ms", "show_ms", "restart_s")) > 0
