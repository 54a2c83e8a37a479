"""What serves the doors of a task that was given up: no task waits at a door for ever (R15, R16).

One function for each task that receives from a door; the table that names them is in children. Each
runs until cancelled, knows doors and items, and does the least that lets the senders go on:
it refuses, answers or drops.
"""

from contextlib import suppress

import trio

from rmf import limits
from rmf.core import codec
from rmf.core import messages as m
from rmf.core.effects import StoreLetters
from rmf.core.events import Beat, CheckpointEnded, DryRunDone
from rmf.floor.displays.news import Watched
from rmf.floor.doors import Doors
from rmf.floor.items import EdgeLetter, FactsAsked, Greeting, LettersItem, Opened, WhoIsKnown
from rmf.floor.supervisor import HeldItem, note_lost

__all__ = [
    "beat_steadily",
    "drop_batches",
    "drop_wishes",
    "give_no_turn",
    "leave_audits_out",
    "let_letter_go",
    "lose_letter",
    "refuse_checkpoints",
    "refuse_connections",
    "refuse_dry_runs",
    "refuse_letters",
    "refuse_peers",
    "refuse_watches",
]


async def refuse_connections(doors: Doors, _why: str) -> None:
    """Events: a connection is closed, a question gets no answer; all else is dropped."""
    async for item in doors.events_out:
        if isinstance(item, Opened):
            item.answers.close()
        elif isinstance(item, FactsAsked):
            item.reply.close()


async def refuse_letters(doors: Doors, _why: str) -> None:
    """Letters: they are not stored, and a sender that waits for an id learns that there is none.
    Ends when the door is closed."""
    async for item in doors.letters_out:
        lose_letter(item)


def lose_letter(item: LettersItem) -> None:
    """Part with an item that is not stored by a node on strike. What is of the line is in the
    ledger; a letter of an edge is nowhere else, and the log says whose it was (R15, R38)."""
    if isinstance(item, EdgeLetter):
        letter = item.letter
        held = HeldItem(letter.packet, letter.producer, letter.epoch)
        note_lost(held, reason=letter.reason, why=letter.error.message)
    let_letter_go(item)


def let_letter_go(item: LettersItem) -> None:
    """Part with an item that cannot be stored; its sender must not wait for an id for ever."""
    if not isinstance(item, StoreLetters) and item.reply is not None:
        item.reply.close()


async def refuse_watches(doors: Doors, why: str) -> None:
    """Watches: each SUBSCRIBE is answered by END `internal`. News: the World is released."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_let_news_go, doors)
        async for item in doors.watches_out:
            if isinstance(item, Watched):
                nursery.start_soon(_end, item, why)


async def _let_news_go(doors: Doors) -> None:
    async for news in doors.publications_out:
        news.let_go()


async def _end(item: Watched, why: str) -> None:
    end = m.End(item.subscribe.number, "internal", f"this node shows nothing any more: {why}")
    with item.pages, suppress(trio.BrokenResourceError):
        await item.pages.send(codec.encode(end))


async def refuse_peers(doors: Doors, _why: str) -> None:
    """Peering: no node is let in, no question about peers is answered."""
    async for item in doors.peering_out:
        if isinstance(item, Greeting):
            item.verdict.close()
        elif isinstance(item, WhoIsKnown):
            item.reply.close()


async def drop_wishes(doors: Doors, _why: str) -> None:
    """Catch-up: wishes are dropped; the core asks again, in vain."""
    async for _ in doors.catch_up_out:
        pass


async def give_no_turn(doors: Doors, _why: str) -> None:
    """File turns: none is given, and each that asks learns so."""
    async for asked in doors.file_turns_out:
        asked.turn.close()


async def refuse_checkpoints(doors: Doors, why: str) -> None:
    """Checkpoints: each wish is answered with why there is none, and its World released."""
    async for wanted in doors.checkpoints_out:
        if wanted is not None:
            wanted.world.index.unpin(wanted.pin)
            await doors.events.send(CheckpointEnded(wanted.index, why))


async def beat_steadily(doors: Doors, _why: str) -> None:
    """Due: a Beat comes every BEAT_S, whatever is due."""
    while True:
        await trio.sleep(limits.BEAT_S)
        with suppress(trio.WouldBlock):  # an arbiter that has so much to do needs none
            doors.events.send_nowait(Beat())


async def drop_batches(doors: Doors, _why: str) -> None:
    """Bench: batches are dropped; the reign that waits for them ends by the strike."""
    async for _ in doors.bench_out:
        pass


async def leave_audits_out(doors: Doors, _why: str) -> None:
    """Audits: samples are left out, and their Worlds released."""
    async for audit in doors.audits_out:
        audit.before.world.index.unpin(audit.pin)


async def refuse_dry_runs(doors: Doors, why: str) -> None:
    """Dry runs: each question is answered with why there is no outcome."""
    async for asked in doors.dry_runs_out:
        world = asked.batch.world
        world.index.unpin(asked.pin)
        await doors.events.send(DryRunDone(asked.connection, asked.request, world, None, why))
