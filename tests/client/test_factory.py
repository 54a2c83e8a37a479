"""The trio client against nodes that follow scripts."""

from typing import Any

import pytest
import trio

import rmf
from rmf.core import messages as m
from rmf.errors import Refused, UsageError
from tests.client.trio_node import Peer, acked, nodes, producing


async def idle(peer: Peer) -> None:
    """Welcome and listen."""
    await peer.welcome()
    await peer.wait_for_the_end()


# --- Sending ------------------------------------------------------------------------------


async def test_a_packet_that_was_sent_has_a_receipt() -> None:
    sent: list[m.Send] = []

    async def script(peer: Peer) -> None:
        hello = await peer.produce(epoch=4, last_seq=6)
        assert hello.options["producer"] == "probe-3"
        assert hello.options["ephemeral"] is False
        sent.append(await peer.expect(m.Send))
        await peer.send(acked(sent[0]))
        assert await peer.wait_for_the_end() == [m.Bye()]

    async with nodes([script]) as [address], rmf.connect(address, producer="probe-3") as factory:
        assert (factory.epoch, factory.last_seq) == (4, 6)
        receipt = await factory.send("t", {"a": 1}, ttl_ms=2000, harvested_at=5, fence=3)
        assert receipt == rmf.Receipt("applied", receipt.stamp, None, None, False, 7)
        assert receipt.stamp == (1, 5, 7)
        assert factory.last_seq == 7
    [row] = sent[0].packets
    assert row[:3] == ["t", 7, 5]
    assert 1900 < row[3] <= 2000
    assert row[4:] == [b"\xa1aa\x01", 3]


async def test_many_packets_travel_in_few_frames_and_keep_their_order() -> None:
    frames: list[int] = []

    async def script(peer: Peer) -> None:
        await peer.produce()
        while isinstance(message := await peer.receive(), m.Send):
            frames.append(len(message.packets))
            await peer.send(acked(message))

    async with nodes([script]) as [address], rmf.connect(address, producer="p") as factory:
        receipts = await factory.send_many((f"t/{i}", i, 1000) for i in range(10_000))
    assert [receipt.seq for receipt in receipts] == list(range(1, 10_001))
    assert sum(frames) == 10_000
    assert len(frames) <= 4


async def test_a_bagged_packet_names_its_letter() -> None:
    async def script(peer: Peer) -> None:
        await peer.produce()
        await peer.expect(m.Send)
        run = m.Run(1, 1, m.BAGGED, False, 1, 5, 0, "no_handler", "1.5.0")
        await peer.send(m.Ack([run]))
        await peer.wait_for_the_end()

    async with nodes([script]) as [address], rmf.connect(address, producer="p") as factory:
        receipt = await factory.send("t", 1, ttl_ms=1000)
    assert (receipt.outcome, receipt.reason, receipt.letter) == ("bagged", "no_handler", "1.5.0")


async def test_what_a_lost_connection_left_unacked_is_sent_again() -> None:
    async def losing(peer: Peer) -> None:
        await peer.produce()
        await peer.expect(m.Send)

    async def finding(peer: Peer) -> None:
        hello = await peer.produce(epoch=2, last_seq=1)
        assert hello.options["cluster"] == b"c" * 16
        send = await peer.expect(m.Send)
        assert send.packets[0][1] == 1
        await peer.send(acked(send, duplicate=True))
        await peer.wait_for_the_end()

    said: list[str] = []
    async with (
        nodes([losing, finding]) as [address],
        rmf.connect(address, producer="p", say=said.append) as factory,
    ):
        receipt = await factory.send("t", 1, ttl_ms=1000)
        assert receipt.duplicate
        assert factory.epoch == 2
    assert "the node closed the connection" in said[0]


async def test_a_refusal_that_names_the_leader_is_followed() -> None:
    leader: list[str] = []

    async def follower(peer: Peer) -> None:
        await peer.produce()
        send = await peer.expect(m.Send)
        seq = send.packets[0][1]
        await peer.send(m.Refuse(seq, "not_leader", seq, leader[0], "go there"))
        await peer.wait_for_the_end()

    async with nodes([follower], [producing]) as [first, second]:
        leader.append(second)
        async with rmf.connect(first, producer="p") as factory:
            receipt = await factory.send("t", 1, ttl_ms=1000)
    assert receipt.outcome == "applied"


async def test_a_hello_refused_by_a_follower_leads_to_the_leader() -> None:
    leader: list[str] = []

    async def follower(peer: Peer) -> None:
        await peer.greet()
        await peer.send(m.Refuse(0, "not_leader", 0, leader[0], "go there"))

    async with nodes([follower], [producing]) as [first, second]:
        leader.append(second)
        async with rmf.connect(first, producer="p") as factory:
            await factory.send("t", 1, ttl_ms=1000)


async def test_a_seq_gap_sends_everything_again_from_there() -> None:
    async def script(peer: Peer) -> None:
        await peer.produce()
        send = await peer.expect(m.Send)
        await peer.send(m.Refuse(1, "seq_gap", 1, None, "again"))
        assert (await peer.expect(m.Send)).packets[0][1] == send.packets[0][1]
        await peer.send(acked(send))
        await peer.wait_for_the_end()

    async with nodes([script]) as [address], rmf.connect(address, producer="p") as factory:
        assert (await factory.send("t", 1, ttl_ms=1000)).outcome == "applied"


@pytest.mark.parametrize("code", ["forgotten", "wrong_cluster"])
async def test_who_was_forgotten_does_not_know_what_became_of_what_it_sent(code: str) -> None:
    """R32: the outcomes are unknown, nothing is sent again, and nothing more."""

    async def losing(peer: Peer) -> None:
        await peer.produce(epoch=7, cluster=b"the one")
        await peer.expect(m.Send)

    async def strange(peer: Peer) -> None:
        hello = await peer.greet()
        assert (hello.options["epoch"], hello.options["cluster"]) == (7, b"the one")
        await peer.send(m.Error(code, "who?", None))
        assert await peer.wait_for_the_end() == []

    async with nodes([losing, strange]) as [address], rmf.connect(address, producer="p") as factory:
        receipt = await factory.send("t", 1, ttl_ms=1000)
        assert (receipt.outcome, receipt.stamp, receipt.seq) == ("unknown", None, 1)
        assert factory.forgotten is not None
        with pytest.raises(Refused, match=code):
            await factory.send("t", 2, ttl_ms=1000)


async def test_a_superseded_producer_ends_for_all_who_wait() -> None:
    async def script(peer: Peer) -> None:
        await peer.produce()
        await peer.expect(m.Send)
        await peer.send(m.Error("superseded", "a newer one", None))

    async with nodes([script]) as [address], rmf.connect(address, producer="p") as factory:
        with pytest.raises(Refused, match="superseded"):
            await factory.send("t", 1, ttl_ms=1000)
        with pytest.raises(Refused, match="superseded"):
            await factory.send("t", 2, ttl_ms=1000)


async def test_a_mistake_is_found_before_anything_is_sent() -> None:
    async with nodes([producing]) as [address], rmf.connect(address, producer="p") as factory:
        with pytest.raises(UsageError, match="ttl_ms"):
            await factory.send("t", 1, ttl_ms=0)
        with pytest.raises(UsageError, match="topic"):
            await factory.send("a/#", 1, ttl_ms=1)
        assert factory.last_seq == 0


async def test_a_send_that_is_cancelled_is_sent_all_the_same() -> None:
    waiting = trio.Event()

    async def script(peer: Peer) -> None:
        await peer.produce()
        send = await peer.expect(m.Send)
        waiting.set()
        last = await peer.expect(m.Send)
        assert (send.packets[0][1], last.packets[0][1]) == (1, 2)
        await peer.send(acked(send), acked(last))
        await peer.wait_for_the_end()

    async with nodes([script]) as [address], rmf.connect(address, producer="p") as factory:
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(cancel_when, waiting, scope)
                await factory.send("t", 1, ttl_ms=1000)
        assert scope.cancelled_caught
        assert (await factory.send("t", 2, ttl_ms=1000)).seq == 2


async def cancel_when(event: trio.Event, scope: trio.CancelScope) -> None:
    await event.wait()
    scope.cancel()


async def test_leaving_waits_for_what_is_on_its_way() -> None:
    posted = trio.Event()
    settled = []

    async def script(peer: Peer) -> None:
        await peer.produce()
        send = await peer.expect(m.Send)
        await posted.wait()
        await peer.send(acked(send))
        settled.extend(await peer.wait_for_the_end())

    async with nodes([script]) as [address], rmf.connect(address, producer="p") as factory:
        batch = await factory.post([("t", 1, 1000)])
        posted.set()
    assert settled == [m.Bye()]
    assert (await batch.receipts())[0].outcome == "applied"


async def test_an_ephemeral_name_is_made_at_the_first_send_and_leaves_with_bye() -> None:
    names: list[dict[str, Any]] = []

    async def script(peer: Peer) -> None:
        names.append((await peer.produce()).options)
        await peer.send(acked(await peer.expect(m.Send)))
        assert await peer.wait_for_the_end() == [m.Bye()]

    async with nodes([idle, script]) as [address], rmf.connect(address) as factory:
        assert factory.producer is None
        await factory.send("t", 1, ttl_ms=1000)
    assert names[0]["ephemeral"] is True
    assert names[0]["producer"] == factory.producer


async def test_after_goaway_packets_go_to_the_other_node() -> None:
    other: list[str] = []

    async def stopping(peer: Peer) -> None:
        await peer.produce()
        await peer.send(m.Goaway("stopping", other, 5000, "stopping"))

    async with nodes([stopping], [producing]) as [first, second]:
        other.append(second)
        async with rmf.connect(first, producer="p") as factory:
            assert (await factory.send("t", 1, ttl_ms=1000)).outcome == "applied"


# --- Asking -------------------------------------------------------------------------------


def answering(*cells: m.WireCell | None) -> Any:
    async def script(peer: Peer) -> None:
        await peer.welcome()
        for cell in cells:
            get = await peer.expect(m.Get)
            await peer.send(m.Value(get.request, 1, 5, 3, True, cell))
        await peer.wait_for_the_end()

    return script


async def test_a_cell_is_asked_for_by_its_key() -> None:
    cell = m.WireCell("k", b"\x18\x2a", 1, 5, 0, "p", 7, 99)
    async with nodes([answering(cell, None, cell)]) as [address], rmf.connect(address) as factory:
        assert await factory.get("k") == 42
        assert await factory.get("k", linearizable=True) is None
        found = await factory.cell("k")
        assert found is not None
        assert (found.value, found.producer, found.expires) == (42, "p", 99)
        with pytest.raises(UsageError, match="key"):
            await factory.get("a/#")


async def test_a_question_that_a_lost_connection_left_open_is_asked_again() -> None:
    async def losing(peer: Peer) -> None:
        await peer.welcome()
        await peer.expect(m.Get)

    async with (
        nodes([losing, answering(None)]) as [address],
        rmf.connect(address) as factory,
    ):
        assert await factory.get("k") is None


async def test_the_status_is_what_the_node_says() -> None:
    async def script(peer: Peer) -> None:
        await peer.welcome()
        query = await peer.expect(m.Query)
        await peer.send(m.Item(query.request, {"node": "n1"}), m.End(query.request, None, None))
        query = await peer.expect(m.Query)
        await peer.send(m.End(query.request, "unknown_query", "what?"))
        await peer.wait_for_the_end()

    async with nodes([script]) as [address], rmf.connect(address) as factory:
        assert await factory.status() == {"node": "n1"}
        with pytest.raises(Refused, match="unknown_query"):
            await factory.status()


# --- Leaving ------------------------------------------------------------------------------


async def test_a_users_exception_comes_through_as_it_is() -> None:
    async with nodes([idle]) as [address]:
        with pytest.raises(KeyError, match="mine"):
            async with rmf.connect(address):
                raise KeyError("mine")


async def test_being_cancelled_leaves_nothing_behind() -> None:
    async with nodes([producing]) as [address]:
        with trio.CancelScope() as scope:
            async with rmf.connect(address, producer="p"):
                scope.cancel()
                await trio.lowlevel.checkpoint()
        assert scope.cancelled_caught
