"""Letters that are missing here come from peers: all, once, and none that nobody asked for."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from rmf import limits
from rmf.core.bag import Evidence, Letter, Read
from rmf.core.events import DiskFault, LettersStored
from rmf.core.raft import greetings as g
from rmf.core.raft import wire
from rmf.core.triage import Act
from rmf.floor.data import dlq_keeper
from rmf.floor.doors import Doors
from rmf.floor.items import EventItem, PeeringFacts, Through, WhoIsKnown
from rmf.floor.links.dialling import Peer
from rmf.floor.links.letter_fetch import Fetch
from rmf.floor.links.letterbox import Letterbox, page, page_of_acts
from rmf.floor.supervisor import InProgress
from rmf.storage.dlq_reader import DlqReader
from rmf.storage.dlq_store import DlqStore
from tests.floor.peers import CLUSTER, Here, here, own_of
from tests.floor.wire import PATIENCE_S
from tests.storage.dlq_letters import edge_letter, letter, reading
from tests.storage.ledger_kit import file_bytes_limit

THROUGH = Through(index=50, term=3, tick=10)


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[dict[str, DlqStore]]:
    opened = {
        name: DlqStore.open(tmp_path / f"{name}.sqlite", cluster=CLUSTER, node=name)
        for name in ("n1", "n2", "n3")
    }
    opened["n1"].set_complete(False)
    yield opened
    for store in opened.values():
        store.close()


def letters_of(tmp_path: Path, name: str) -> list[Letter]:
    reader = DlqReader.open(tmp_path / f"{name}.sqlite")
    try:
        return [stored.letter for stored in reader.letters(limit=10_000)]
    finally:
        reader.close()


def is_complete(store: DlqStore) -> bool:
    return store.stats().complete


@asynccontextmanager
async def peer(tmp_path: Path, name: str) -> AsyncIterator[tuple[Here, Peer]]:
    box = Letterbox(tmp_path / f"{name}.sqlite")
    async with here(own_of(name), letters=box) as node:
        yield node, Peer(name, name.encode() * 8, node.address)


async def fetched(store: DlqStore, *peers: Peer, through: Through = THROUGH) -> Doors:
    doors = Doors()
    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(know, doors, peers)
            async with trio.open_nursery() as keeping:
                keeping.start_soon(dlq_keeper.run, doors, store, [], InProgress())
                await Fetch(doors, through).complete()
                doors.letters.close()
            nursery.cancel_scope.cancel()
    return doors


def told(doors: Doors) -> list[EventItem]:
    """What the arbiter hears of it; at first, how the DLQ stands."""
    events = []
    while doors.events_out.statistics().current_buffer_used:
        events.append(doors.events_out.receive_nowait())
    return events[1:]


async def know(doors: Doors, peers: tuple[Peer, ...]) -> None:
    """Answer whoever wants to know whom to ask."""
    async for item in doors.peering_out:
        assert isinstance(item, WhoIsKnown)
        with item.reply:
            item.reply.send_nowait(PeeringFacts(own_of("n1"), peers))


async def test_missing_letters_of_the_line_come_under_the_local_name_and_the_dlq_is_complete(
    tmp_path: Path, stores: dict[str, DlqStore]
) -> None:
    theirs = [letter(number, node="n2") for number in (1, 2, 10)]
    later = [letter(11), letter(1, id="4.1.0", term=4)]
    stores["n2"].put_line([*theirs, *later], 60)
    stores["n2"].put_edge([edge_letter("n2:edge:1")])
    stores["n1"].put_line([letter(2, node="n1")], 50)
    async with peer(tmp_path, "n2") as (_, n2):
        doors = await fetched(stores["n1"], n2)
    found = letters_of(tmp_path, "n1")
    assert sorted(found) == sorted(x._replace(node="n1") for x in theirs)
    assert is_complete(stores["n1"])
    assert stores["n1"].cursor == 50
    event = told(doors)[-1]
    assert isinstance(event, LettersStored)
    assert (event.letters, event.index) == (0, 50)
    assert (event.facts["letters"], event.facts["complete"]) == (3, True)


async def test_a_complete_dlq_asks_no_peer(tmp_path: Path, stores: dict[str, DlqStore]) -> None:
    stores["n1"].set_complete(True)
    doors = await fetched(stores["n1"], Peer("n2", None, ("127.0.0.1", 1)))
    assert len(told(doors)) == 1  # whether it is


async def test_many_letters_come_in_pages_and_a_second_fetch_adds_nothing(
    tmp_path: Path, stores: dict[str, DlqStore]
) -> None:
    count = 2 * limits.DLQ_PAGE_LETTERS + 5
    theirs = [letter(1, id=f"3.1.{slot}", slot=slot) for slot in range(count)]
    stores["n2"].put_line(theirs, 50)
    async with peer(tmp_path, "n2") as (_, n2):
        await fetched(stores["n1"], n2)
        stores["n1"].set_complete(False)
        await fetched(stores["n1"], n2)
    assert {x.id for x in letters_of(tmp_path, "n1")} == {x.id for x in theirs}
    assert len(letters_of(tmp_path, "n1")) == count


async def test_the_next_peer_is_asked_where_one_is_not_there_or_lacks_letters_itself(
    tmp_path: Path, stores: dict[str, DlqStore]
) -> None:
    stores["n2"].put_line([letter(1)], 50)
    stores["n2"].set_complete(False)
    stores["n3"].put_line([letter(1), letter(2)], 50)
    gone = Peer("n9", None, ("127.0.0.1", 1))
    async with peer(tmp_path, "n2") as (_, n2), peer(tmp_path, "n3") as (_, n3):
        await fetched(stores["n1"], gone, n2, n3)
    assert {x.id for x in letters_of(tmp_path, "n1")} == {"3.1.0", "3.2.0"}


@pytest.mark.slow
async def test_a_peer_whose_dlq_lags_is_asked_again(
    tmp_path: Path, stores: dict[str, DlqStore]
) -> None:
    stores["n2"].put_line([letter(1)], 49)
    asked = 0
    answer = Letterbox(tmp_path / "n2.sqlite")

    async def lagging(ask: g.LettersAsk | g.ActsAsk) -> g.Letters | g.Acts:
        nonlocal asked
        if isinstance(ask, g.ActsAsk):
            return await answer(ask)
        asked += 1
        if asked == 2:
            assert ask.after == 1  # from where it had come to
            stores["n2"].put_line([letter(2)], 50)
        return await answer(ask)

    async with here(own_of("n2"), letters=lagging) as node:
        await fetched(stores["n1"], Peer("n2", b"n2" * 8, node.address))
    assert asked == 2
    assert {x.id for x in letters_of(tmp_path, "n1")} == {"3.1.0", "3.2.0"}
    assert is_complete(stores["n1"])


async def test_a_disk_that_fails_is_reported_to_the_arbiter(
    tmp_path: Path, stores: dict[str, DlqStore]
) -> None:
    stores["n2"].put_line([letter(1)], 50)
    async with peer(tmp_path, "n2") as (_, n2):
        with file_bytes_limit(16):
            doors = await fetched(stores["n1"], n2)
    assert isinstance(told(doors)[-1], DiskFault)
    assert not is_complete(stores["n1"])


async def test_what_was_decided_comes_along_and_nothing_that_was_purged_stays(
    tmp_path: Path, stores: dict[str, DlqStore]
) -> None:
    """R39, R40: the node that installs has the purged letter still, or gets it from a third one."""
    decided = ("alice", "mended")
    purge = Act(12, 8, 70, "purge", *decided, ("3.1.0",), None, None, None)
    resolve = Act(13, 9, 71, "resolve", *decided, ("3.2.0", "3.3.0"), None, None, None)
    stores["n1"].put_line([letter(1)], 1)
    stores["n2"].put_line([letter(1)], 50)  # lags, and does not know of the purge
    stores["n2"].set_complete(False)
    stores["n3"].put_line([letter(n) for n in (1, 2, 3, 10)], 50, [purge, resolve])
    async with peer(tmp_path, "n2") as (_, n2), peer(tmp_path, "n3") as (_, n3):
        await fetched(stores["n1"], n2, n3)
    reader = DlqReader.open(tmp_path / "n1.sqlite")
    found = {stored.letter.id: stored.triage for stored in reader.letters()}
    acts = [stored.act for stored in reader.acts()]
    reader.close()
    assert found == {"3.2.0": "resolved", "3.3.0": "resolved", "3.10.0": "open"}
    assert acts == [purge, resolve]


async def test_many_acts_come_in_pages(tmp_path: Path, stores: dict[str, DlqStore]) -> None:
    count = 2 * limits.DLQ_PAGE_ACTS + 1
    acts = [Act(n, n, n, "purge", "a", "b", ("3.1.0",), None, None, None) for n in range(1, count)]
    stores["n2"].put_line([], 50, acts)
    async with peer(tmp_path, "n2") as (_, n2):
        await fetched(stores["n1"], n2)
    reader = DlqReader.open(tmp_path / "n1.sqlite")
    assert [x.act for x in reader.acts(limit=1000)] == acts
    reader.close()


def test_a_page_is_closed_once_it_is_large_and_the_next_goes_on_behind_it(
    tmp_path: Path, stores: dict[str, DlqStore]
) -> None:
    packet = bytes(limits.PEER_LETTERS_BYTES // 2)
    stores["n2"].put_line([letter(number, packet=packet) for number in range(1, 6)], 50)
    reader = DlqReader.open(tmp_path / "n2.sqlite")
    ask, found = g.LettersAsk(0, 50, 3, 10), []
    while True:
        answer = page(reader, ask)
        assert answer.whole
        found.append(len(answer.letters))
        if not answer.more:
            break
        ask = ask._replace(after=answer.after)
    reader.close()
    assert found == [2, 2, 1]


def as_it_comes(message: g.Letters | g.Acts) -> object:
    """Return a message as the other side decodes it. Raises ProtocolFault."""
    frames = wire.Frames(limits.PEER_FRAME_BYTES_MAX)
    frames.feed(wire.encode(message))
    (item,) = frames.frames()
    return wire.decode(item)


def test_acts_that_name_many_letters_come_in_as_many_pages_as_frames_may_hold(
    tmp_path: Path, stores: dict[str, DlqStore]
) -> None:
    """Eight acts of ten thousand letters are twice the items of a frame: no peer took them."""
    many = tuple(f"3.{number}.0" for number in range(limits.TRIAGE_LETTERS_MAX))
    acts = [Act(n, n, n, "resolve", "a", "b", many, None, None, None) for n in range(1, 6)]
    stores["n2"].put_line([], 50, acts)
    found: list[Act] = []
    ask, more = g.ActsAsk(0), True
    with reading(tmp_path / "n2.sqlite") as reader:
        while more:
            answer = page_of_acts(reader, ask)
            assert as_it_comes(answer) == answer
            found += answer.acts
            ask, more = g.ActsAsk(answer.after), answer.more
    assert found == acts


def test_letters_that_read_many_cells_come_in_as_many_pages_as_frames_may_hold(
    tmp_path: Path, stores: dict[str, DlqStore]
) -> None:
    reads = tuple(Read(f"cell/{number}", 1, 2, 3) for number in range(limits.EVIDENCE_READS_MAX))
    error = Evidence("ValueError", "too hot", "", reads)
    theirs = [letter(1, id=f"3.1.{n}", slot=n, error=error) for n in range(limits.DLQ_PAGE_LETTERS)]
    stores["n2"].put_line(theirs, 50)
    found: list[Letter] = []
    ask, more = g.LettersAsk(0, 50, 3, 10), True
    with reading(tmp_path / "n2.sqlite") as reader:
        while more:
            answer = page(reader, ask)
            assert as_it_comes(answer) == answer
            found += answer.letters
            ask, more = ask._replace(after=answer.after), answer.more
    assert [x.id for x in found] == [x.id for x in theirs]


def test_a_page_of_other_letters_leads_on_to_the_next(
    tmp_path: Path, stores: dict[str, DlqStore]
) -> None:
    edges = [edge_letter(f"n2:edge:{number}") for number in range(limits.DLQ_PAGE_LETTERS)]
    stores["n2"].put_edge(edges)
    stores["n2"].put_line([letter(1)], 49)
    reader = DlqReader.open(tmp_path / "n2.sqlite")
    first = page(reader, g.LettersAsk(0, 50, 3, 10))
    assert first == g.Letters(limits.DLQ_PAGE_LETTERS, True, False, ())
    second = page(reader, g.LettersAsk(first.after, 49, 3, 10))
    assert [x.id for x in second.letters] == ["3.1.0"]
    assert (second.more, second.whole) == (False, True)
    reader.close()
