"""The cores of the budget come to work."""

import pytest

from rmf.core import events as ev
from rmf.errors import RmfError
from rmf.line.board import board
from tools.budget_cores import LEADER, founded, pass_time


def test_one_node_leads_by_itself() -> None:
    (leader,) = founded(board, 1)
    assert leader.name == LEADER
    assert leader.core.has_acceded


def test_of_three_the_first_leads_and_a_follower_has_what_it_has() -> None:
    leader, follower = founded(board, 3)
    pass_time([leader, follower], lambda: follower.core.committed.index > 1)
    assert leader.core.reigns
    assert not follower.core.reigns
    assert follower.core.committed.digest() == leader.core.committed.digest()


def test_what_never_comes_about_is_an_error() -> None:
    cores = founded(board, 1)
    cores[0].settle(cores[0].step(ev.Struck("admin", "for this test")))
    with pytest.raises(RmfError, match="do not come to work"):
        pass_time(cores, lambda: cores[0].core.is_live)
