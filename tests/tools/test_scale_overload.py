"""What producers that push do to a node; and that they send again what is refused."""

import pytest

from rmf.core import messages as m
from tests.scripted_node import Peer, ScriptedNode
from tools.scale_overload import overload, push


def refuse_the_third_once(peer: Peer) -> None:
    """Say `busy` to the third frame, and to all behind it until it comes again."""
    peer.welcome(epoch=1, last_seq=0)
    expected, frames = 1, 0
    while isinstance(message := peer.receive(), m.Send):
        frames += 1
        first, count = message.packets[0][1], len(message.packets)
        if frames == 3 or first != expected:
            peer.send(m.Refuse(first, "busy", expected, None, "later"))
            continue
        expected += count
        peer.send(m.Ack([m.Run(first, count, m.APPLIED, False, 1, 5, 0, None, None)]))


def test_what_is_refused_is_sent_again_until_all_is_acked() -> None:
    with ScriptedNode(refuse_the_third_once) as node:
        pushed = push(node.address[1], 0.2, "pusher")
    assert pushed.refusals > 0
    assert pushed.sent == pushed.acked > 1000
    assert pushed.unanswered_max > 0


@pytest.mark.long
def test_a_node_answers_all_that_is_pushed() -> None:
    found = overload(2, 0.5)
    assert found["acked_per_s"] > 0
    assert found["most_mib"] >= found["usual_mib"] > 10
