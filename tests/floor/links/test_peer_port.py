"""The port for other nodes: who is let in, what is delivered, and what ends a connection."""

import crc32c
import trio
import trio.testing
from trio.testing import wait_all_tasks_blocked

from rmf import limits
from rmf.core import codec
from rmf.core.entry_kinds import CLUSTER_VERSION
from rmf.core.events import Beat, Heard, PeerLost, PeerMet
from rmf.core.raft import greetings as g
from rmf.core.raft import peer_messages as m
from rmf.core.raft import wire
from rmf.core.raft.pieces import item_of
from rmf.floor.items import EdgeLetter
from tests.floor.peers import CLUSTER, MEMBERS, Caller, hello_from, here, own_of
from tests.floor.wire import until

READ = m.ReadAsk(1, 7)
N2_MET = PeerMet("n2", b"n2" * 8, "n2:7410", CLUSTER_VERSION)


async def test_a_member_is_welcomed_and_what_it_says_is_delivered_in_order() -> None:
    async with here(own_of("n1")) as node:
        caller = await node.call()
        answer = await caller.greet(hello_from("n2"))
        assert answer == g.welcome_of(node.own, hello_from("n2"))
        await caller.say(READ, g.Alive(), m.CampaignNow(2))
        events = [await node.event() for _ in range(3)]
        assert events == [N2_MET, Heard("n2", READ), Heard("n2", m.CampaignNow(2))]
        assert await node.links() == ["n2"]


async def test_a_connection_that_ends_is_reported_at_once() -> None:
    async with here(own_of("n1")) as node:
        caller = await node.attend("n2")
        assert await node.event() == N2_MET
        await caller.leave()
        assert await node.event() == PeerLost("n2")
        assert await node.links() == []


async def test_big_messages_arrive_however_they_are_cut() -> None:
    body = bytes(range(256)) * 4096
    async with here(own_of("n1")) as node:
        caller = await node.attend("n2")
        entries = [m.WireEntry(1, crc32c.crc32c(body), body)]
        append = m.Append(2, 7, 1, bytes(16), 7, 8, 1000, True, 5, entries)
        frame = wire.encode(append)
        await caller.say_bytes(frame[:3])
        await caller.say_bytes(frame[3:70_000])
        await caller.say_bytes(frame[70_000:])
        assert [await node.event() for _ in range(2)] == [N2_MET, Heard("n2", append)]


async def test_a_message_in_pieces_is_delivered_and_each_piece_is_acknowledged() -> None:
    body = bytes(range(256)) * 4096
    entries = [m.WireEntry(1, crc32c.crc32c(body), body)]
    append = m.Append(2, 7, 1, bytes(16), 7, 8, 1000, True, 5, entries)
    item = item_of(wire.encode(append))
    pieces = [bytes(item[at : at + 200_000]) for at in range(0, len(item), 200_000)]
    async with here(own_of("n1")) as node:
        caller = await node.attend("n2")
        assert await node.event() == N2_MET
        taken = 0
        for number, data in enumerate(pieces, start=1):
            await caller.say(g.Piece(number == len(pieces), data))
            await caller.say(READ)
            taken += len(data)
            assert await caller.hear() == g.Taken(taken)
        events = [await node.event() for _ in range(len(pieces) + 1)]
        expected = [Heard("n2", READ)] * len(pieces)
        expected.insert(-1, Heard("n2", append))
        assert events == expected


async def test_pieces_of_a_node_of_version_1_or_with_bulk_between_them_end_the_connection() -> None:
    piece = g.Piece(False, b"\x8b")
    append = m.Append(2, 7, 1, bytes(16), 7, 8, 1000, True, 5, [])
    async with here(own_of("n1")) as node:
        for versions, said in (((1, 1), [piece]), ((1, 2), [piece, append])):
            caller = await node.attend("n2", versions=versions)
            await caller.say(*said)
            while await caller.hear() is not None:
                pass
            assert [await node.event() for _ in range(2)] == [N2_MET, PeerLost("n2")]


async def test_an_entry_without_its_checksum_ends_the_connection_undelivered() -> None:
    async with here(own_of("n1")) as node:
        caller = await node.attend("n2")
        entries = [m.WireEntry(1, 1, b"body")]
        await caller.say(READ, m.Append(2, 7, 1, bytes(16), 7, 8, 1000, True, 5, entries), READ)
        assert await caller.hear() is None
        events = [await node.event() for _ in range(3)]
        assert events == [N2_MET, Heard("n2", READ), PeerLost("n2")]


async def test_a_faulty_frame_and_a_message_out_of_place_end_the_connection() -> None:
    async with here(own_of("n1")) as node:
        for data in (b"\x00\x00\x00\x01\xff", b"\xff" * 4, wire.encode(hello_from("n2"))):
            caller = await node.attend("n2")
            await caller.say_bytes(data)
            assert await caller.hear() is None
            assert [await node.event() for _ in range(2)] == [N2_MET, PeerLost("n2")]


async def test_nothing_of_an_older_connection_is_delivered_once_a_newer_one_is_up() -> None:
    async with here(own_of("n1")) as node:
        older = await node.attend("n2")
        assert await node.event() == N2_MET
        while True:  # the arbiter does not read: the older one waits at a full door
            try:
                node.doors.events.send_nowait(Beat())
            except trio.WouldBlock:
                break
        await older.say(m.CampaignNow(1), m.CampaignNow(2))
        await until(lambda: node.doors.events.statistics().tasks_waiting_send == 1)
        newer = await node.call()
        assert isinstance(await newer.greet(hello_from("n2", client_address="new:1")), g.Welcome)
        await newer.say(READ)
        assert await older.hear() is None
        beats = [await node.event() for _ in range(limits.EVENTS_MAX)]
        assert beats == [Beat()] * limits.EVENTS_MAX
        met = N2_MET.__class__("n2", b"n2" * 8, "new:1", CLUSTER_VERSION)
        assert [await node.event() for _ in range(2)] == [met, Heard("n2", READ)]
        assert node.waiting() == 0
        assert await node.links() == ["n2"]


async def test_who_would_not_be_let_in_any_more_is_parted_with() -> None:
    async with here(own_of("n1")) as node:
        former, member = await node.attend("n2"), await node.attend("n3")
        assert {(await node.event()), (await node.event())} >= {N2_MET}
        node.know(*MEMBERS)
        await wait_all_tasks_blocked()
        node.know(MEMBERS[0], MEMBERS[2], index=2)
        assert await former.hear() is None
        assert await node.event() == PeerLost("n2")
        await member.say(READ)
        assert await node.event() == Heard("n3", READ)


async def test_who_may_not_come_in_hears_why() -> None:
    async with here(own_of("n1")) as node:
        for fields, code in (
            ({"cluster": b"x" * 16}, "wrong_cluster"),
            ({"node": "n9"}, "not_member"),
            ({"incarnation": b"x" * 16}, "wrong_incarnation"),
            ({"to": "n3"}, "wrong_node"),
            ({"versions": (3, 3)}, "wrong_version"),
        ):
            caller = await node.call()
            answer = await caller.greet(hello_from("n2", **fields))
            assert isinstance(answer, g.Refusal)
            assert answer.code == code
            assert await caller.hear() is None
        strangers = [await node.event() for _ in range(node.waiting())]
        assert [(x.peer, x.linked) for x in strangers if isinstance(x, PeerMet)] == [
            ("n9", False),
            ("n2", False),
        ]
        assert await node.links() == []


async def test_a_node_without_a_cluster_hears_who_claims_it_and_answers_questions() -> None:
    unfounded = g.Own("n1", b"n1" * 8, listed=("n1", "n2"))
    async with here(unfounded) as node:
        for to_incarnation, code in ((b"x" * 16, "wrong_incarnation"), (b"n1" * 8, "unfounded")):
            caller = await node.call()
            hello = hello_from("n2", to_incarnation=to_incarnation)
            answer = await caller.greet(hello)
            assert isinstance(answer, g.Refusal)
            assert answer.code == code
            claims = node.doors.claims_out.statistics().current_buffer_used
            assert claims == (code == "unfounded")
        assert node.doors.claims_out.receive_nowait() == CLUSTER
        caller = await node.call()
        welcome = await caller.greet(hello_from("n2", purpose=g.GENESIS))
        assert isinstance(welcome, g.Welcome)
        assert (welcome.cluster, welcome.listed) == (None, ("n1", "n2"))


async def test_what_is_no_node_receives_an_answer() -> None:
    async with here(own_of("n1")) as node:
        client = await node.call()
        await client.say_bytes(codec.PREFACE)
        assert await client.hear() is None
        browser = await node.call()
        await browser.say_bytes(b"GET / HTTP/1.1\r\n\r\n")
        assert (await browser.hear_bytes()).startswith(b"HTTP/1.1 400 ")


async def test_a_first_frame_that_is_too_long_ends_the_connection() -> None:
    async with here(own_of("n1")) as node:
        caller = await node.call()
        size = limits.PEER_HELLO_BYTES_MAX + 1
        await caller.say_bytes(wire.PREFACE + size.to_bytes(4, "big"))
        assert await caller.hear_bytes() == b""


async def test_one_connection_too_many_is_turned_away() -> None:
    async with here(own_of("n1")) as node:
        callers = [await node.call() for _ in range(limits.PEER_CONNECTIONS_MAX)]
        await until(lambda: node.listening.open == limits.PEER_CONNECTIONS_MAX)
        late = await node.call()
        answer = await late.hear()
        assert isinstance(answer, g.Refusal)
        assert answer.code == "too_many_connections"
        await callers[0].leave()
        await late.leave()
        await until(lambda: node.listening.open < limits.PEER_CONNECTIONS_MAX)
        assert isinstance(await (await node.call()).greet(hello_from("n2")), g.Welcome)


async def test_a_connection_that_fails_leaves_a_letter_and_the_others_alone() -> None:
    async def broken(_: g.LettersAsk) -> g.Letters:
        raise ZeroDivisionError

    async with here(own_of("n1"), letters=broken) as node:
        member = await node.attend("n2")
        asker = await node.call()
        await asker.greet(hello_from("n3", purpose=g.LETTERS))
        await asker.say(g.LettersAsk(0, 1, 1, 1))
        assert await asker.hear() is None
        item = await node.doors.letters_out.receive()
        assert isinstance(item, EdgeLetter)
        assert item.letter.error.type == "ZeroDivisionError"
        await member.say(READ)
        assert [await node.event() for _ in range(2)] == [N2_MET, Heard("n2", READ)]


async def silent_for(seconds: float, clock: trio.testing.MockClock) -> None:
    await trio.testing.wait_all_tasks_blocked(0.01)
    clock.jump(seconds)


async def test_silence_is_death_and_a_sign_of_life_is_enough(
    mock_clock: trio.testing.MockClock,
) -> None:
    from rmf.floor.links.peer_connection import PeerConnection

    async with here(own_of("n1")) as node, trio.open_nursery() as nursery:
        ours, theirs = trio.testing.memory_stream_pair()
        nursery.start_soon(PeerConnection(theirs, "tests", node.port).serve)
        caller = Caller(ours)
        await caller.greet(hello_from("n2"))
        for _ in range(3):
            await silent_for(limits.PEER_SILENCE_S_MAX - 0.1, mock_clock)
            await caller.say(g.Alive())
        assert await node.event() == N2_MET
        assert node.waiting() == 0
        await silent_for(limits.PEER_SILENCE_S_MAX + 0.1, mock_clock)
        assert await node.event() == PeerLost("n2")


async def test_a_handshake_and_a_frame_must_be_done_in_time(
    mock_clock: trio.testing.MockClock,
) -> None:
    from rmf.floor.links.peer_connection import PeerConnection

    async with here(own_of("n1")) as node:
        async with trio.open_nursery() as nursery:
            ours, theirs = trio.testing.memory_stream_pair()
            nursery.start_soon(PeerConnection(theirs, "tests", node.port).serve)
            await ours.send_all(wire.PREFACE)
            await silent_for(limits.PEER_HANDSHAKE_S_MAX + 0.1, mock_clock)
        async with trio.open_nursery() as nursery:
            ours, theirs = trio.testing.memory_stream_pair()
            nursery.start_soon(PeerConnection(theirs, "tests", node.port).serve)
            caller = Caller(ours)
            await caller.greet(hello_from("n2"))
            for byte in wire.encode(READ)[:-1]:
                await caller.say_bytes(bytes([byte]))
                await silent_for(limits.PEER_SILENCE_S_MAX - 0.1, mock_clock)
                if node.waiting() > 1:
                    break
        assert [await node.event() for _ in range(2)] == [N2_MET, PeerLost("n2")]
