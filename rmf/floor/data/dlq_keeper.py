"""The DLQ keeper: letters go into the store, in bulk, and never get lost on the way (R38, R39).

Letters of the line come with the index of their Entry and are in the ledger too; those of an edge
live only here, so an edge hears its letter's id only after the insert is durable. What was received
and is not stored yet stays in `backlog`, which outlives a failure of this task.

Errors: a store that cannot write is a DiskFault: the node strikes; the backlog is kept. A letter
that no store could take is found, parted from the others and left to the supervisor, who seals its
bytes in a letter of their own.
Shutdown: cancel it; line letters that were not stored are found again by recovery.
"""

from functools import partial
from typing import Any

import trio

from rmf import limits
from rmf.core.bag import Letter
from rmf.core.effects import StoreLetters
from rmf.core.events import DiskFault, LettersStored
from rmf.errors import DiskFailed, StorageError
from rmf.floor import log
from rmf.floor.asking import answer
from rmf.floor.doors import Doors
from rmf.floor.items import EdgeLetter, EdgeTriage, Fetched, FetchedStored, LettersItem
from rmf.floor.stand_ins import let_letter_go, lose_letter, refuse_letters
from rmf.floor.supervisor import HeldItem, InProgress
from rmf.storage.dlq_store import DlqStore

__all__ = ["give_up", "run"]


async def run(
    doors: Doors,
    store: DlqStore,
    backlog: list[LettersItem],
    in_progress: InProgress,
) -> None:
    """Store what comes through the letters door, until it is closed."""
    limiter = trio.CapacityLimiter(1)  # one thread at a time has the store
    await _report(doors, store, limiter, 0)
    one_by_one = 0
    while True:
        if not backlog:
            try:
                backlog.append(await doors.letters_out.receive())
            except trio.EndOfChannel:
                return None
        _drain(doors.letters_out, backlog)
        batch = backlog[:1] if one_by_one else list(backlog)
        one_by_one = max(0, one_by_one - 1)
        in_progress.hold(partial(_held, batch))
        try:
            told = await trio.to_thread.run_sync(_store, store, batch, limiter=limiter)
        except DiskFailed as exc:
            log.note("error", "dlq_disk", error=str(exc))
            await doors.events.send(DiskFault(f"the DLQ cannot be written: {exc}"))
            return await give_up(doors, backlog)
        except StorageError:
            in_progress.free()  # no letter is to blame: all of them stay in the backlog
            raise
        except Exception:
            if len(batch) > 1:  # find the one that cannot be stored
                one_by_one = len(batch)
                continue
            let_letter_go(backlog.pop(0))
            with trio.CancelScope(shield=True):  # the core must not go on counting these
                await _report(doors, store, limiter, _line_letters(batch))
            raise
        del backlog[: len(batch)]
        in_progress.free()
        _reply(told)
        for group in store.take_reopened():
            log.note("warning", "group_reopened", group=group)
        await _report(doors, store, limiter, _line_letters(batch))


def _held(items: list[LettersItem]) -> list[HeldItem]:
    return [HeldItem(letter.packet) for letter in _letters(items)]


async def give_up(doors: Doors, backlog: list[LettersItem], why: str = "") -> None:
    """Drop what waits, and refuse what comes, until the door is closed: edges must not wait
    for ids of a node on strike that writes nothing more."""
    for item in backlog:
        lose_letter(item)
    await refuse_letters(doors, why)


def _line_letters(items: list[LettersItem]) -> int:
    line = [item for item in items if isinstance(item, StoreLetters)]
    return sum(len(item.letters) + len(item.acts) for item in line)


def _drain(door: trio.MemoryReceiveChannel[LettersItem], backlog: list[LettersItem]) -> None:
    while len(backlog) < limits.LETTERS_DOOR:
        try:
            backlog.append(door.receive_nowait())
        except (trio.WouldBlock, trio.EndOfChannel):
            return


def _letters(items: list[LettersItem]) -> list[Letter]:
    letters: list[Letter] = []
    for item in items:
        if isinstance(item, StoreLetters):
            letters += item.letters
        elif isinstance(item, EdgeLetter):
            letters.append(item.letter)
    return letters


Told = list[tuple[EdgeLetter | EdgeTriage | Fetched, str | int | FetchedStored]]


def _store(store: DlqStore, items: list[LettersItem]) -> Told:
    """Write all items durably; return the answer to those who wait for it: the id of an edge
    letter, how many letters an act met, or what came of those of a peer."""
    line = [item for item in items if isinstance(item, StoreLetters)]
    edge = [item for item in items if isinstance(item, EdgeLetter)]
    if line:
        letters = [x for item in line for x in item.letters]
        store.put_line(letters, line[-1].index, [x for item in line for x in item.acts])
    told: Told = []
    if edge:
        ids = store.reserve_edge_ids(len(edge))
        named = zip(edge, ids, strict=True)
        store.put_edge([item.letter._replace(id=name) for item, name in named])
        told += zip(edge, ids, strict=True)
    for item in items:
        if isinstance(item, EdgeTriage):
            told.append((item, store.act_on_edge(item.triage, item.wall_ns)))
        elif isinstance(item, Fetched):
            told.append((item, _store_fetched(store, item)))
    return told


def _store_fetched(store: DlqStore, item: Fetched) -> FetchedStored:
    """Acts come after letters, and completeness after both: what is said to be whole is."""
    new = store.put_line(list(item.letters), 0) if item.letters else 0
    if item.acts:
        store.put_acts(item.acts)
    if item.is_all:
        store.set_complete(True)
    return FetchedStored(new, store.stats().complete)


def _reply(told: Told) -> None:
    for item, what in told:
        reply: trio.MemorySendChannel[Any] | None = item.reply
        if reply is not None:
            answer(reply, what)  # the asker may be gone meanwhile: it is stored


async def _report(
    doors: Doors, store: DlqStore, limiter: trio.CapacityLimiter, letters: int
) -> None:
    stats = await trio.to_thread.run_sync(store.stats, limiter=limiter)
    doors.archive_cursor.put(store.cursor)
    doors.shed_cursor.put(store.cursor)
    await doors.events.send(LettersStored(letters, store.cursor, stats._asdict()))
