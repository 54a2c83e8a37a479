"""One connection alone: what it hears, where that goes, and when it ends."""

from typing import Any

import cbor2
import pytest
import trio
import trio.testing

from rmf import limits
from rmf.core import codec
from rmf.core import messages as m
from rmf.core.events import Asked, Joined, Left, Offered
from rmf.floor.displays.news import Unwatch, Watched
from rmf.floor.items import Closed, Opened
from tests.floor.edge.one_connection import HELLO, events, letters_kept
from tests.floor.kit import Bench, served
from tests.floor.wire import framed, packet, until

# --- The handshake ----------------------------------------------------------------------------


async def test_preface_and_hello_may_come_in_any_cut(alone: Bench) -> None:
    said = codec.PREFACE + HELLO
    for cut in range(1, len(said)):
        async with served(alone) as serving:
            await serving.wire.say_bytes(said[:cut])
            await trio.testing.wait_all_tasks_blocked()
            assert not serving.known.is_set()
            await serving.wire.say_bytes(said[cut:])
            await serving.opened()
            await trio.testing.wait_all_tasks_blocked()
            assert serving.known.is_set()
            assert events(serving) == [Asked(1, 0, "welcome")]


async def test_what_follows_hello_in_the_same_read_is_served(alone: Bench) -> None:
    async with served(alone) as serving:
        await serving.wire.say_bytes(codec.PREFACE + HELLO + codec.encode(m.Ping(5)))
        await serving.opened()
        await trio.testing.wait_all_tasks_blocked()
        assert events(serving) == [Asked(1, 0, "welcome"), Asked(1, 5, "ping")]


async def test_a_producer_is_registered_through_the_intake_door(alone: Bench) -> None:
    async with served(alone) as serving:
        said = m.Hello({"versions": [1, 1], "producer": "p", "ephemeral": True})
        await serving.wire.say_bytes(codec.PREFACE + codec.encode(said))
        await serving.opened()
        await trio.testing.wait_all_tasks_blocked()
        assert serving.offered() == [Joined(1, "p", "self-declared:p", True)]


@pytest.mark.parametrize(
    ("said", "code", "words"),
    [
        (b"\x16\x03\x01\x02\x00\x01", "bad_preface", "TLS"),
        (b"SSH-2.0-x", "bad_preface", "52 4d 46 01"),
        (b"\0\0\0\0", "bad_preface", "52 4d 46 01"),
        (b"RMF\x02", "bad_preface", "52 4d 46 01"),
        (codec.PREFACE + codec.encode(m.Ping(1)), "hello_expected", "HELLO"),
        (codec.PREFACE + framed(b"\xff"), "not_well_formed", ""),
        (codec.PREFACE + framed(b""), "not_well_formed", ""),
        (codec.PREFACE + framed(b"\x18\x05"), "not_shortest", ""),
        (codec.PREFACE + (4097).to_bytes(4, "big"), "frame_too_long", "4096"),
        (codec.PREFACE + b"\xff\xff\xff\xff", "frame_too_long", "4096"),
        (codec.PREFACE + codec.encode(m.Hello({"versions": [2, 9]})), "wrong_version", "1 to 1"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
async def test_a_stranger_hears_what_is_wrong_and_is_counted(
    alone: Bench, said: bytes, code: str, words: str
) -> None:
    async with served(alone) as serving:
        await serving.wire.say_bytes(said)
        (error,) = await serving.wire.rest()
        assert isinstance(error, m.Error)
        assert (error.code, error.letter) == (code, None)
        assert words in error.text
        assert serving.strangers.counts == {code: 1}
        assert not serving.known.is_set()
    assert alone.take_edge_letters() == []  # strangers have no place in the DLQ (R39)
    assert alone.doors.events.statistics().current_buffer_used == 0


async def test_http_is_answered_in_http(alone: Bench) -> None:
    async with served(alone) as serving:
        await serving.wire.say_bytes(b"GET / HTTP/1.1\r\nHost: n1\r\n\r\n")
        await serving.ended.wait()
        assert (await serving.wire.stream.receive_some()).startswith(b"HTTP/1.1 400 Bad Request")


@pytest.mark.parametrize("said", [b"", b"RM", codec.PREFACE, codec.PREFACE + HELLO[:9]])
async def test_a_stranger_that_leaves_is_let_go(alone: Bench, said: bytes) -> None:
    async with served(alone) as serving:
        await serving.wire.say_bytes(said)
        await serving.wire.stream.aclose()
        with trio.fail_after(1):
            await serving.ended.wait()


# --- Packets ----------------------------------------------------------------------------------


async def test_a_send_is_offered_as_it_came(alone: Bench) -> None:
    async with served(alone) as serving:
        await serving.welcome()
        body = codec.encode(m.Send([packet(1), packet(2)]))[4:]
        await serving.wire.say_bytes(framed(body))
        await until(lambda: alone.doors.intake.statistics().current_buffer_used == 1)
        (offered,) = serving.offered()
        assert isinstance(offered, Offered)
        assert (offered.frame, offered.producer, offered.epoch) == (body, "probe", 1)
        assert (offered.rows, offered.skip, offered.verdicts) == ([packet(1), packet(2)], 0, {})


async def test_a_packet_without_a_readable_seq_is_a_letter_and_the_others_go_on(
    alone: Bench,
) -> None:
    rows: list[Any] = [packet(1), "no packet", packet(2), ["a", -1], packet(3)]
    async with letters_kept(alone), served(alone) as serving:
        await serving.welcome()
        await serving.wire.say(m.Send(rows))
        errors = [await serving.wire.expect(m.Error) for _ in range(2)]
        assert [error.code for error in errors] == ["no_seq", "no_seq"]
        (offered,) = serving.offered()
        assert [row[1] for row in offered.rows] == [1, 2, 3]
    letters = alone.letters()
    assert [x.id for x in letters] == [error.letter for error in errors]
    assert [x.packet for x in letters] == [cbor2.dumps("no packet"), cbor2.dumps(["a", -1])]
    assert {(x.reason, x.stage, x.producer, x.epoch) for x in letters} == {
        ("malformed", "edge", "probe", 1)
    }


@pytest.mark.parametrize("producer", [None, "probe"])
async def test_a_send_before_welcome_or_without_a_producer_is_a_letter(
    alone: Bench, producer: str | None
) -> None:
    async with letters_kept(alone), served(alone) as serving:
        said = {"versions": [1, 1]} | ({"producer": producer} if producer else {})
        body = codec.encode(m.Send([packet(1)]))[4:]
        await serving.wire.say_bytes(codec.PREFACE + codec.encode(m.Hello(said)) + framed(body))
        error = await serving.wire.expect(m.Error)
        assert error.code == "no_producer"
    (letter,) = alone.letters()
    assert (letter.id, letter.reason, letter.packet) == (error.letter, "not_allowed", body)
    assert (letter.producer, letter.epoch) == (producer, None)


async def test_a_frame_that_cannot_be_read_is_a_letter_and_the_connection_lives(
    alone: Bench,
) -> None:
    async with letters_kept(alone), served(alone) as serving:
        await serving.welcome()
        await serving.wire.say_bytes(framed(b"\x82\x03") + codec.encode(m.Send([packet(1)])))
        error = await serving.wire.expect(m.Error)
        await until(lambda: alone.doors.intake.statistics().current_buffer_used == 1)
        assert error.code == "not_well_formed"
    (letter,) = alone.letters()
    assert (letter.id, letter.reason, letter.packet) == (error.letter, "malformed", b"\x82\x03")


# --- Questions, displays, and the end ----------------------------------------------------------


async def test_questions_go_to_the_arbiter(alone: Bench) -> None:
    async with served(alone) as serving:
        await serving.welcome()
        events(serving)
        await serving.wire.say(m.Ping(3), m.Get(4, "a", True), m.Query(5, "status", {}))
        await trio.testing.wait_all_tasks_blocked()
        assert events(serving) == [
            Asked(1, 3, "ping"),
            Asked(1, 4, "get", "a", True),
            Asked(1, 5, "status"),
        ]


async def test_subscriptions_go_to_the_publisher(alone: Bench) -> None:
    async with served(alone) as serving:
        await serving.welcome()
        subscribe = m.Subscribe(1, ["#"], {})
        await serving.wire.say(subscribe, subscribe, m.Unsubscribe(1), subscribe)
        assert (await serving.wire.expect(m.Error)).code == "subscription_taken"
        await trio.testing.wait_all_tasks_blocked()
        watches = [alone.doors.watches_out.receive_nowait() for _ in range(3)]
        assert [type(x) for x in watches] == [Watched, Unwatch, Watched]


async def test_a_message_out_of_place_ends_the_connection_where_the_table_says_so(
    alone: Bench,
) -> None:
    async with served(alone) as serving:
        await serving.welcome()
        await serving.wire.say(m.Pong(1, 1, 1), m.Hello({"versions": [1, 1]}), m.Ping(1))
        codes = [x.code for x in await serving.wire.rest() if isinstance(x, m.Error)]
        assert codes == ["unknown_type", "hello_repeated"]


async def test_bye_tells_the_arbiter_and_closes(alone: Bench) -> None:
    async with served(alone) as serving:
        await serving.welcome()
        events(serving)
        await serving.wire.bye()
        assert serving.offered() == [Left(1, "probe", 1)]
        assert events(serving) == [Closed(1)]
        assert alone.doors.watches_out.receive_nowait() == Unwatch(1, None)


async def test_a_client_that_vanishes_is_reported_to_arbiter_and_publisher(alone: Bench) -> None:
    async with served(alone) as serving:
        await serving.welcome()
        events(serving)
        await serving.wire.say_bytes(codec.encode(m.Send([packet(1)]))[:20])  # in mid-frame
        await serving.wire.stream.aclose()
        await serving.ended.wait()
        assert events(serving) == [Closed(1)]
        assert serving.offered() == []
        assert alone.doors.watches_out.receive_nowait() == Unwatch(1, None)
    assert alone.take_edge_letters() == []


async def test_when_the_arbiter_closes_the_last_answers_are_sent(alone: Bench) -> None:
    async with served(alone) as serving:
        await serving.welcome()
        last = m.Error("superseded", "a newer connection", None)
        await serving.answers.send([last])
        serving.answers.close()
        assert await serving.wire.rest() == [last]


async def test_a_door_that_closes_before_the_welcome_ends_it_too(alone: Bench) -> None:
    async with served(alone) as serving:
        await serving.wire.say_bytes(codec.PREFACE + HELLO)
        opened = await alone.doors.events_out.receive()
        assert isinstance(opened, Opened)
        refusal = m.Refuse(0, "strike", 0, None, "on strike")
        await opened.answers.send([refusal])
        opened.answers.close()
        assert await serving.wire.rest() == [refusal]


async def test_a_big_frame_lets_others_go_first(alone: Bench) -> None:
    async with served(alone) as serving:
        await serving.welcome()
        passes = 0

        async def others() -> None:
            nonlocal passes
            while True:
                await trio.lowlevel.checkpoint()
                passes += 1

        big = codec.encode(m.Send([packet(1, payload="x" * limits.DECODE_BIG_FRAME_BYTES)]))
        async with trio.open_nursery() as nursery:
            await serving.wire.say_bytes(big * 10)
            nursery.start_soon(others)
            await until(lambda: alone.doors.intake.statistics().current_buffer_used == 10)
            nursery.cancel_scope.cancel()
        assert passes >= 10


async def test_hands_hold_the_frame_that_is_served_and_nothing_else(alone: Bench) -> None:
    async with served(alone) as serving:
        await serving.welcome()
        for seq in range(1, limits.INTAKE_FRAMES + 2):
            await serving.wire.send(packet(seq))
        await trio.testing.wait_all_tasks_blocked()
        (held,) = serving.in_progress.held()
        stuck = codec.encode(m.Send([packet(limits.INTAKE_FRAMES + 1)]))[4:]
        assert (held.data, held.producer, held.epoch, held.connection) == (stuck, "probe", 1, 1)
        serving.offered()
        await trio.testing.wait_all_tasks_blocked()
        assert serving.in_progress.held()[0].data == b""


async def test_a_packet_is_as_old_as_the_beginning_of_its_frame(alone: Bench) -> None:
    """R8: its age counts since the connection was known to be empty; a frame that was begun and
    waited for its end is older than what comes behind it."""
    at_ms = [10]
    async with served(alone, clock=lambda: at_ms[0] * limits.MS) as serving:
        await serving.welcome()
        first, second = (codec.encode(m.Send([packet(seq)])) for seq in (1, 2))
        await serving.wire.say_bytes(first[:9])
        await trio.testing.wait_all_tasks_blocked()
        at_ms[0] = 5000
        await serving.wire.say_bytes(first[9:] + second)
        await trio.testing.wait_all_tasks_blocked()
        arrived = [x.arrived_ns // limits.MS for x in serving.offered() if isinstance(x, Offered)]
        assert arrived == [10, 5000]
