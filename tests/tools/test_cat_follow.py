"""How `rmf-cat` keeps a subscription alive, and when it gives up."""

from contextlib import suppress

from rmf.core.messages import (
    DELTA,
    FULL,
    KEEPALIVE,
    Error,
    Gap,
    Goaway,
    Hello,
    Subscribe,
)
from tests.scripted_node import Peer, ScriptedNode, facts
from tests.tools.cat import BLOB, FIRST, SECOND, TEMP, Cat, lines_of, saying, snapshot


def test_once_without_an_answer_is_exit_6(cat: Cat) -> None:
    with ScriptedNode(saying()) as node:
        assert cat(node, "--once", "-W", "30ms") == 6
    assert cat.out == b""


def test_keepalives_do_not_count_as_something_that_came(cat: Cat) -> None:
    def script(peer: Peer) -> None:
        peer.subscribed()
        peer.sock.settimeout(0.005)
        with suppress(ConnectionError):
            while True:
                peer.send(snapshot(KEEPALIVE, 41))
                with suppress(TimeoutError):
                    assert peer.receive() is None
                    return

    with ScriptedNode(script) as node:
        assert cat(node, "-W", "50ms") == 6
    assert {o["kind"] for o in lines_of(cat.out)} == {"keepalive"}


def test_a_gap_is_said_and_with_strict_it_is_exit_7(cat: Cat) -> None:
    script = saying(Gap(1, 40), FIRST)
    with ScriptedNode(script, script) as node:
        assert cat(node, "-n", "1", "--every-tick", "--from", "3") == 0
        assert "ticks before 40" in cat.err
        assert cat(node, "-n", "1", "--every-tick", "--from", "3", "--strict") == 7
        assert cat.out == b""


def test_conflation_is_no_gap_but_a_tick_missing_from_every_tick_is(cat: Cat) -> None:
    script = saying(FIRST, SECOND)
    with ScriptedNode(script, script) as node:
        assert cat(node, "-n", "2", "--strict") == 0
        assert cat(node, "-n", "2", "--strict", "--every-tick") == 7


def test_a_tick_that_is_not_retained_is_exit_7(cat: Cat) -> None:
    with ScriptedNode(saying(Error("not_retained", "the oldest tick is 40", None))) as node:
        assert cat(node, "--from", "3") == 7
    assert "oldest tick is 40" in cat.err


def test_a_lost_connection_is_made_again_and_resumed(cat: Cat) -> None:
    resumed: list[Hello | Subscribe] = []

    def losing(peer: Peer) -> None:
        peer.subscribed()
        peer.send(FIRST, snapshot(DELTA, 45, [BLOB], more=True))

    def resuming(peer: Peer) -> None:
        resumed.append(peer.welcome())
        resumed.append(peer.expect(Subscribe))
        peer.send(snapshot(DELTA, 41, [BLOB]), SECOND)
        peer.wait_for_the_end()

    with ScriptedNode(losing, resuming) as node:
        assert cat(node, "-n", "2") == 0
    hello, subscribe = resumed
    assert isinstance(hello, Hello)
    assert hello.options["cluster"] == facts()["cluster"]
    assert subscribe == Subscribe(1, ["#"], {"mode": "delta", "from_tick": 41})
    assert [o["tick"] for o in lines_of(cat.out)] == [41, 50]
    assert f"resuming on n1 at {node.text}, after tick 41" in cat.err


def test_a_node_of_another_cluster_is_not_resumed_from(cat: Cat) -> None:
    def losing(peer: Peer) -> None:
        peer.subscribed()
        peer.send(FIRST)

    def refusing(peer: Peer) -> None:
        peer.expect(Hello)
        peer.sock.sendall(b"RMF\x01")
        peer.send(Error("wrong_cluster", "another cluster", None))

    with ScriptedNode(losing, refusing) as node:
        assert cat(node) == 5


def test_another_history_is_said_and_shown_whole_and_with_strict_it_is_exit_7(cat: Cat) -> None:
    def losing(peer: Peer) -> None:
        peer.subscribed()
        peer.send(FIRST)

    def restored(peer: Peer) -> None:
        peer.welcome()
        assert peer.expect(Subscribe).options["from_tick"] == 41
        peer.send(snapshot(KEEPALIVE, 41)._replace(entry_index=5))
        peer.wait_for_the_end()

    def anew(peer: Peer) -> None:
        assert "from_tick" not in peer.subscribed().options
        peer.send(snapshot(FULL, 30, [TEMP]))
        peer.wait_for_the_end()

    with ScriptedNode(losing, restored, anew) as node:
        assert cat(node, "-n", "2", "--from", "0") == 0
    assert [o["tick"] for o in lines_of(cat.out)] == [41, 30]
    assert "history is another one" in cat.err
    with ScriptedNode(losing, restored) as node:
        assert cat(node, "-n", "2", "--strict") == 7


def test_a_node_that_waits_for_its_cluster_names_none_and_nothing_is_kept_of_it(cat: Cat) -> None:
    """P20: the cluster is founded later, and is no other one."""
    hellos: list[Hello] = []

    def waiting(peer: Peer) -> None:
        hellos.append(peer.welcome(cluster=b""))
        peer.expect(Subscribe)
        none = snapshot(KEEPALIVE, 0, live=False)._replace(entry_index=0)
        peer.send(none)

    def founded(peer: Peer) -> None:
        hellos.append(peer.welcome())
        assert "from_tick" not in peer.expect(Subscribe).options
        peer.send(FIRST)
        peer.wait_for_the_end()

    with ScriptedNode(waiting, founded) as node:
        assert cat(node, "-n", "1") == 0
    assert [hello.options.get("cluster") for hello in hellos] == [None, None]
    assert [o["tick"] for o in lines_of(cat.out)] == [0, 41]


def test_without_reconnect_a_lost_connection_is_exit_4(cat: Cat) -> None:
    def losing(peer: Peer) -> None:
        peer.subscribed()
        peer.send(FIRST)

    with ScriptedNode(losing) as node:
        assert cat(node, "--no-reconnect") == 4
    assert len(lines_of(cat.out)) == 1


def test_a_goaway_leads_to_the_node_that_it_names(cat: Cat) -> None:
    with ScriptedNode(saying(SECOND)) as other:
        goaway = Goaway("stopping", [other.text, "not an address"], 0, "bye")
        with ScriptedNode(saying(FIRST, goaway)) as node:
            assert cat(node, "-n", "2") == 0
    assert [o["tick"] for o in lines_of(cat.out)] == [41, 50]


def test_a_node_that_welcome_named_takes_over_when_the_only_one_given_is_lost(cat: Cat) -> None:
    with ScriptedNode(saying(SECOND)) as other:

        def naming(peer: Peer) -> None:
            peer.subscribed(nodes=[other.text, "not an address", 7])
            peer.send(FIRST)

        with ScriptedNode(naming) as node:
            assert cat(node, "-n", "2") == 0
    assert [o["tick"] for o in lines_of(cat.out)] == [41, 50]


def test_a_node_without_keepalives_is_dead(cat: Cat) -> None:
    def silent(peer: Peer) -> None:
        limits = {**facts()["limits"], "keepalive_ms": 10}
        peer.subscribed(limits=limits)
        peer.wait_for_the_end()

    with ScriptedNode(silent, saying(FIRST)) as node:
        assert cat(node, "-n", "1") == 0
    assert "no keepalive for 0.05 s" in cat.err
