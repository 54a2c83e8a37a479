"""The answers doors of all connections: who does not read is cut, nobody goes without a word."""

import pytest
import trio

from rmf import limits
from rmf.core import messages as m
from rmf.floor.arbiter.clients import Clients
from rmf.floor.doors import connection_doors


class Scene:
    """A client with one connection."""

    def __init__(self) -> None:
        self.clients = Clients()
        self.door, self.out, *_ = connection_doors()
        self.clients.open(1, self.door)

    def heard(self) -> list[m.Message]:
        return self.out.receive_nowait()


def test_an_answer_goes_to_its_connection_if_that_is_still_there() -> None:
    scene = Scene()
    scene.clients.answer(1, [m.Pong(7, 1, 1)])
    scene.clients.answer(2, [m.Pong(8, 1, 1)])
    scene.clients.answer_all(m.Pong(9, 1, 1))
    assert scene.heard() == [m.Pong(7, 1, 1)]
    assert scene.heard() == [m.Pong(9, 1, 1)]
    scene.clients.close(1)
    assert 1 not in scene.clients
    scene.clients.answer(1, [m.Pong(7, 1, 1)])
    with pytest.raises(trio.EndOfChannel):
        scene.heard()


def test_who_does_not_read_is_cut() -> None:
    scene = Scene()
    for _ in range(limits.ANSWERS_MAX + 1):
        scene.clients.answer(1, [m.Pong(7, 1, 1)])
    assert 1 not in scene.clients


def test_who_is_gone_is_forgotten() -> None:
    scene = Scene()
    scene.out.close()
    scene.clients.answer(1, [m.Pong(7, 1, 1)])
    assert 1 not in scene.clients
    scene.clients.close_all(told=False)


@pytest.mark.parametrize("told", [True, False])
def test_no_client_is_cut_without_a_word(told: bool) -> None:
    """RMF-11: they are told to connect anew, or were told where to go by the core."""
    scene = Scene()
    scene.clients.close_all(told=told)
    if not told:
        (goaway,) = scene.heard()
        assert isinstance(goaway, m.Goaway)
        assert goaway.code == "no_reign"
    with pytest.raises(trio.EndOfChannel):
        scene.heard()
