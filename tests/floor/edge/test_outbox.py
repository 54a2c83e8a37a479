"""The outbox: two writers, one stream, whole frames."""

import pytest
import trio
import trio.testing

from rmf import limits
from rmf.core import codec
from rmf.core import messages as m
from rmf.core.server_session import ServerSession
from rmf.errors import ProtocolFault
from rmf.floor.doors import connection_doors
from rmf.floor.edge.outbox import Outbox
from tests.floor.wire import Wire
from tests.scripted_node import facts


async def test_frames_of_both_doors_leave_whole() -> None:
    ours, theirs = trio.testing.lockstep_stream_pair()
    outbox, wire = Outbox(theirs, ServerSession(1, "tests")), Wire(ours)
    answers, answers_out, pages, pages_out = connection_doors()
    big = codec.encode(m.Item(1, {"x": b"x" * 200_000}))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(outbox.say_preface)
        nursery.start_soon(outbox.write_answers, answers_out, nursery.cancel_scope)
        nursery.start_soon(outbox.write_pages, pages_out, nursery.cancel_scope)
        for i in range(5):
            nursery.start_soon(pages.send, big)
            answers.send_nowait([m.Pong(i, 1, 1)])
        heard = [await wire.hear() for _ in range(10)]
        assert sum(isinstance(x, m.Item) for x in heard) == 5
        assert [x.token for x in heard if isinstance(x, m.Pong)] == [0, 1, 2, 3, 4]
        nursery.cancel_scope.cancel()


async def test_it_learns_the_epoch_of_a_welcome_and_which_subscriptions_ended() -> None:
    _, theirs = trio.testing.memory_stream_pair()
    session = ServerSession(1, "tests")
    outbox = Outbox(theirs, session)
    answers, answers_out, pages, pages_out = connection_doors()
    session.watched |= {1, 2}
    async with trio.open_nursery() as nursery:
        nursery.start_soon(outbox.write_answers, answers_out, nursery.cancel_scope)
        nursery.start_soon(outbox.write_pages, pages_out, nursery.cancel_scope)
        await answers.send([m.Welcome(facts(epoch=7, last_seq=0))])
        await pages.send(codec.encode(m.End(1, "internal", "it failed")))
        await pages.send(codec.encode(m.Item(2, {"no": "end"})))
        await trio.testing.wait_all_tasks_blocked()
        assert (session.epoch, session.watched) == (7, {2})
        nursery.cancel_scope.cancel()


async def test_what_waits_leaves_in_one_write() -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    outbox, wire = Outbox(theirs, ServerSession(1, "tests")), Wire(ours)
    answers, answers_out, *_ = connection_doors()
    for i in range(100):
        answers.send_nowait([m.Pong(i, 1, 1)])
    answers.close()
    await outbox.say_preface()
    with trio.CancelScope() as scope:
        await outbox.write_answers(answers_out, scope)
    assert scope.cancel_called  # the end of the door is the end of the connection
    assert isinstance(await wire.hear(), m.Pong)
    assert len(wire.waiting) == 99


async def test_a_fault_before_the_preface_brings_it_along() -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    outbox, wire = Outbox(theirs, ServerSession(1, "tests")), Wire(ours)
    await outbox.say_fault(ProtocolFault("bad_preface", "what?"))
    await outbox.say_fault(ProtocolFault("no_seq", "no seq"), "n1:edge:1")
    await theirs.aclose()
    said = await wire.rest()
    assert said == [m.Error("bad_preface", "what?", None), m.Error("no_seq", "no seq", "n1:edge:1")]


async def test_who_does_not_read_answers_is_cut_at_the_deadline(
    autojump_clock: trio.testing.MockClock,
) -> None:
    _, theirs = trio.testing.lockstep_stream_pair()
    outbox = Outbox(theirs, ServerSession(1, "tests"))
    answers, answers_out, *_ = connection_doors()
    await answers.send([m.Pong(1, 1, 1)])
    began = trio.current_time()
    with trio.CancelScope() as scope:
        await outbox.write_answers(answers_out, scope)
    assert scope.cancel_called
    assert trio.current_time() - began == pytest.approx(limits.SEND_S_MAX)


async def test_a_display_may_take_its_time(autojump_clock: trio.testing.MockClock) -> None:
    """R35: it is never cut off for being slow, as long as it takes something."""
    ours, theirs = trio.testing.lockstep_stream_pair()
    outbox = Outbox(theirs, ServerSession(1, "tests"))
    *_, pages, pages_out = connection_doors()
    page = codec.encode(m.Item(1, {"x": b"x" * 3 * limits.SEND_PIECE_BYTES}))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(outbox.write_pages, pages_out, nursery.cancel_scope)
        await pages.send(page)
        taken = b""
        while len(taken) < len(page):
            await trio.sleep(0.9 * limits.SEND_S_MAX)
            taken += await ours.receive_some(limits.SEND_PIECE_BYTES)
        assert taken == page
        await trio.sleep(100 * limits.SEND_S_MAX)  # nothing is to be said: nobody is cut for that
        assert not nursery.cancel_scope.cancel_called
        nursery.cancel_scope.cancel()


async def test_a_display_that_takes_nothing_at_all_is_cut(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """S11: it would hold a World and a page for as long as it sends a word now and then."""
    _, theirs = trio.testing.lockstep_stream_pair()
    outbox = Outbox(theirs, ServerSession(1, "tests"))
    *_, pages, pages_out = connection_doors()
    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pages.send, codec.encode(m.Pong(1, 1, 1)))
        with trio.CancelScope() as scope:
            await outbox.write_pages(pages_out, scope)
    assert scope.cancel_called
    assert trio.current_time() - began == pytest.approx(limits.SEND_S_MAX)


async def test_a_client_that_is_gone_ends_the_writers() -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    await ours.aclose()
    outbox = Outbox(theirs, ServerSession(1, "tests"))
    answers, answers_out, *_ = connection_doors()
    await answers.send([m.Pong(1, 1, 1)])
    with trio.CancelScope() as scope:
        await outbox.write_answers(answers_out, scope)
    assert scope.cancel_called
