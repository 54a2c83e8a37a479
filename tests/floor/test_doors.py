"""The doors, each of them full: one test for each row of the table."""

from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import cbor2
import pytest
import trio
import trio.testing

from rmf import limits
from rmf.core import events as ev
from rmf.core import messages as m
from rmf.core.bag import Evidence
from rmf.core.effects import (
    Batch,
    DryRun,
    MarkWhole,
    Persist,
    ReadEntries,
    StoreLetters,
    WriteCheckpoint,
)
from rmf.core.entry_kinds import CLUSTER_VERSION
from rmf.core.feed import Feed
from rmf.core.letters import edge_letter
from rmf.core.raft import wire
from rmf.core.raft.greetings import Own, Welcome
from rmf.core.raft.peer_messages import Append, AppendReply, PeerMessage, ReadAsk
from rmf.core.world import World
from rmf.floor.arbiter import beats
from rmf.floor.arbiter.peers import Peers
from rmf.floor.data import dlq_keeper
from rmf.floor.data.file_turns import FileTurns
from rmf.floor.displays.feeder import Feeder
from rmf.floor.displays.history import History
from rmf.floor.displays.news import News, Unwatch, Watched
from rmf.floor.displays.published_world import PublishedWorld
from rmf.floor.doors import DOORS, Doors, connection_doors, dial_door, link_doors, verdict_door
from rmf.floor.edge.intake_end import IntakeDoor
from rmf.floor.items import Belongs, EdgeLetter, Greeting, Linked, Roster, Through, TurnAsked
from rmf.floor.latest import Latest
from rmf.floor.supervisor import InProgress
from tests.driven_node import node_in
from tests.floor.followers import follower_of, ledger_of
from tests.floor.kit import Pictures, Reign, bench, reign, served
from tests.floor.lines import shop
from tests.floor.peers import CLUSTER, hello_from, here, own_of
from tests.floor.wire import PATIENCE_S, packet, snapshot_in, until
from tests.line.bench import batch as a_batch

Row = Callable[[Path], Awaitable[None]]
ROWS: dict[str, Row] = {}


def row(test: Row) -> Row:
    """Note which row of the table a test is about: its name says so."""
    ROWS[test.__name__.removeprefix("when_").partition("_is_full")[0]] = test
    return test


def an_edge_letter() -> EdgeLetter:
    evidence = Evidence("no_seq", "no seq", "")
    return EdgeLetter(edge_letter("malformed", "edge", "n1", b"bytes", evidence, 0), None)


SendEnd = trio.MemorySendChannel[Any]


def waiting(door: SendEnd | trio.MemoryReceiveChannel[Any]) -> int:
    return door.statistics().current_buffer_used


def fill(door: SendEnd, item: Any) -> None:
    while waiting(door) < door.statistics().max_buffer_size:
        door.send_nowait(item)


@row
async def when_intake_is_full_the_edge_waits_and_with_it_the_client(tmp_path: Path) -> None:
    with bench(tmp_path) as alone:
        lockstep = trio.testing.lockstep_stream_pair
        async with served(alone, streams=lockstep) as serving, trio.open_nursery() as nursery:
            await serving.welcome()
            sent = 0

            async def produce() -> None:
                nonlocal sent
                for seq in range(1, 101):
                    await serving.wire.send(packet(seq))
                    sent = seq

            nursery.start_soon(produce)
            await trio.testing.wait_all_tasks_blocked()
            assert waiting(alone.doors.intake) == limits.INTAKE_FRAMES
            # One frame waits at the door, one is in the client's hand.
            assert sent == limits.INTAKE_FRAMES + 1
            taken = serving.offered()
            while len(taken) < 100:
                await trio.testing.wait_all_tasks_blocked()
                taken += serving.offered()
            assert [offered.rows[0][1] for offered in taken] == list(range(1, 101))


@row
async def when_events_is_full_the_sender_waits_and_a_knock_is_dropped(tmp_path: Path) -> None:
    doors = Doors()
    fill(doors.events, ev.Beat())
    intake = IntakeDoor(doors)
    await intake.offer(ev.Left(1, "probe", 1))
    assert waiting(doors.intake) == 1
    async with trio.open_nursery() as nursery:
        nursery.start_soon(doors.events.send, ev.Asked(1, 1, "ping"))
        await trio.testing.wait_all_tasks_blocked()
        assert len(nursery.child_tasks) == 1
        assert doors.events_out.receive_nowait() == ev.Beat()
    last = [doors.events_out.receive_nowait() for _ in range(limits.EVENTS_MAX)][-1]
    assert last == ev.Asked(1, 1, "ping")


@row
async def when_due_is_full_the_newest_counts(tmp_path: Path) -> None:
    doors = Doors()
    doors.due.put(7)
    doors.due.put(5)
    assert doors.due_out.receive_nowait() == 5


@row
async def when_bench_is_full_a_batch_of_an_ended_reign_gives_way(tmp_path: Path) -> None:
    doors = Doors()
    batches = [attrs.evolve(a_batch(), number=number) for number in (1, 2, 3)]
    for batch in batches:
        doors.bench.put(batch)
    assert waiting(doors.bench_out) == 1
    assert doors.bench_out.receive_nowait() is batches[-1]


@row
async def when_ledger_is_full_is_never_as_the_core_stops_latching(tmp_path: Path) -> None:
    """With a disk that hangs, what is offered stays in the ingest queue; then all of it goes on."""
    with bench(tmp_path) as alone:
        async with reign(alone) as ruling:
            guest = await ruling.join()
            ruling.writes = False
            for seq in range(1, 101):
                await guest.send(packet(seq, "count"))
                await trio.testing.wait_all_tasks_blocked()
            assert waiting(alone.doors.ledger_out) < limits.ENTRIES_IN_FLIGHT
            assert ruling.core.sessions.queue.packets >= 100 - limits.ENTRIES_IN_FLIGHT
            ruling.writes = True
            acked = 0
            while acked < 100:
                acked += sum(run.packets for run in (await guest.hear(m.Ack)).runs)
    ledger = Doors().ledger
    fill(ledger, Persist(1, []))
    with pytest.raises(trio.WouldBlock):  # the assert behind it: nobody waits here
        ledger.send_nowait(Persist(1, []))


@row
async def when_dry_runs_is_full_the_question_goes_with_its_core(tmp_path: Path) -> None:
    """Only questions of an ended core can fill it: the next one is let go, and so is its World."""
    with bench(tmp_path) as alone:
        async with reign(alone) as ruling:
            guest = await ruling.join()
            index = ruling.core.committed.world.index
            old = DryRun(1, 7, Batch(0, 1, 5, World.empty(), frozenset(), [], [], 1), 0)
            fill(alone.doors.dry_runs, old)
            args = {"packet": cbor2.dumps(packet(1, "count")), "producer": "probe"}
            await alone.doors.events.send(ev.Asked(1, 8, "line.would", args=args))
            await alone.doors.events.send(ev.Asked(1, 9, "ping"))
            assert (await guest.hear(m.Pong)).token == 9
            alone.doors.publications_out.receive_nowait().let_go()
            assert not index._pins
            waiting_ones = [alone.doors.dry_runs_out.receive_nowait() for _ in range(2)]
            assert waiting_ones == [old, old]


@row
async def when_letters_is_full_edges_wait_and_the_core_stops_latching(tmp_path: Path) -> None:
    with bench(tmp_path) as alone:
        async with reign(alone) as ruling, trio.open_nursery() as nursery:
            guest = await ruling.join()
            for _ in range(limits.CONNECTIONS_MAX):  # every connection has a letter to store
                nursery.start_soon(alone.doors.letters.send, an_edge_letter())
            room = limits.LETTERS_IN_FLIGHT_MAX - limits.TICK_LETTERS_MAX
            many = -(-(room - 1500) // 3)
            poison = [packet(seq, "raises") for seq in range(1, 1500 + 3 * many + 101)]
            at = 0
            for packets in (1,) * 1500 + (many,) * 3:  # a letter a Tick, then many
                await guest.send(*poison[at : at + packets])
                await guest.hear(m.Ack)
                at += packets
            await guest.send(*poison[at:])
            await trio.testing.wait_all_tasks_blocked()
            assert limits.TICK_PACKETS_MAX < at < limits.LETTERS_IN_FLIGHT_MAX
            assert ruling.core.committed.bagged == at
            assert ruling.core.sessions.queue.packets == 100
            # Nothing of it was dropped, and once letters are stored the line moves on.
            taken = [alone.doors.letters_out.receive_nowait() for _ in range(1024 + 1503)]
            line = [x for item in taken if isinstance(item, StoreLetters) for x in item.letters]
            assert len(line) == at
            await ruling.doors.events.send(ev.LettersStored(at, 1, {}))
            await until(lambda: ruling.core.committed.bagged == len(poison))
    doors = Doors()
    fill(doors.letters, an_edge_letter())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(doors.letters.send, an_edge_letter())
        await trio.testing.wait_all_tasks_blocked()
        assert len(nursery.child_tasks) == 1
        doors.letters_out.receive_nowait()


@row
async def when_publications_is_full_what_waits_is_joined_with_what_comes(tmp_path: Path) -> None:
    doors, pictures = Doors(), Pictures()
    made = [pictures.next({f"cell/{i}": i}) for i in range(3)]
    for publication in made:
        News.of([publication]).put_into(doors.publications)
    news = doors.publications_out.receive_nowait()
    assert news.publications == made
    # The keys of the newest World are held until it is shown; of those before it nobody is in need.
    assert [len(publication.world.index._pins) for publication in made] == [0, 0, 1]
    news.let_go()
    # Beyond the ring the oldest are left out, and nobody gets a delta across the gap.
    feed = Feed()
    feed.publish(made[-1])
    for _ in range(limits.CHANGED_TICKS_KEPT + 2):
        News.of([pictures.next()]).put_into(doors.publications)
    joined = doors.publications_out.receive_nowait().publications
    assert len(joined) == limits.CHANGED_TICKS_KEPT
    assert joined[-1].index == pictures.index
    for publication in joined:
        feed.publish(publication)
    assert feed.delta(feed.selector(("#",)), made[-1].tick) is None


@row
async def when_watches_is_full_the_edge_waits(tmp_path: Path) -> None:
    with bench(tmp_path) as alone:
        fill(alone.doors.watches, Unwatch(9, None))
        async with served(alone) as serving:
            await serving.welcome(producer=None)
            await serving.wire.say(m.Subscribe(1, ["#"], {}), m.Ping(7))
            await trio.testing.wait_all_tasks_blocked()
            assert waiting(alone.doors.events) == 1  # what HELLO asked for: the PING waits
            alone.doors.watches_out.receive_nowait()
            await trio.testing.wait_all_tasks_blocked()
            assert waiting(alone.doors.events) == 2
            items = [alone.doors.watches_out.receive_nowait() for _ in range(1024)]
            assert isinstance(items[-1], Watched)


@row
async def when_checkpoints_is_full_the_wish_of_an_ended_core_gives_way(tmp_path: Path) -> None:
    with bench(tmp_path) as alone:
        async with reign(alone) as ruling:
            guest = await ruling.join()
            for seq in (1, 2, 3):
                await ruling.doors.events.send(ev.CheckpointAsked())
                await guest.send(packet(seq))
                await guest.hear(m.Ack)
            first = alone.doors.checkpoints_out.receive_nowait()
            assert isinstance(first, WriteCheckpoint)
            assert waiting(alone.doors.checkpoints_out) == 0
            await ruling.doors.events.send(ev.CheckpointEnded(first.index, None))
            await guest.send(packet(4))
            await guest.hear(m.Ack)
            await until(lambda: waiting(alone.doors.checkpoints_out) == 1)
            ruling.doors.wish_for(first)  # as a core does that was read again
            newest = alone.doors.checkpoints_out.receive_nowait()
            assert newest is not None
            assert newest.index == first.index
            assert waiting(alone.doors.checkpoints_out) == 0


async def drops_what_a_full_door_does_not_take(lane: str, message: PeerMessage) -> None:
    peers = Peers()
    peers.tell("n2", message)  # there is no link
    hurrying, hurrying_out, bulk, bulk_out = link_doors()
    out = {"hurrying": hurrying_out, "bulk": bulk_out}[lane]
    peers.link(Linked("n2", hurrying, bulk))
    for _ in range(limits.PEER_QUEUE_FRAMES_MAX + 1):
        peers.tell("n2", message)
    assert peers.dropped == 2
    taken = [out.receive_nowait() for _ in range(waiting(out))]
    assert taken == [message] * limits.PEER_QUEUE_FRAMES_MAX
    peers.tell("n2", message)
    assert out.receive_nowait() == message


@row
async def when_peers_is_full_messages_are_dropped_and_what_waits_still_goes(tmp_path: Path) -> None:
    await drops_what_a_full_door_does_not_take("hurrying", ReadAsk(1, 7))


@row
async def when_bulk_is_full_messages_are_dropped_and_what_waits_still_goes(tmp_path: Path) -> None:
    append = Append(1, 0, 0, bytes(16), 0, 0, 0, False, 1, [])
    await drops_what_a_full_door_does_not_take("bulk", append)


@row
async def when_membership_is_full_who_is_a_member_by_now_takes_its_place(tmp_path: Path) -> None:
    """Nobody follows it here: the Arbiter does not wait."""
    with bench(tmp_path) as alone:
        async with reign(alone) as ruling:
            named = ruling.core.raft.membership
            assert waiting(alone.doors.membership_out) == 1
            roster = alone.doors.membership_out.receive_nowait()
            assert roster == Roster(named.current, named.admitted, named.index)
            assert roster.index == 1  # Genesis: before, the same members came from no Entry


@row
async def when_restored_is_full_the_core_that_was_read_now_takes_its_place(tmp_path: Path) -> None:
    """Letters of before are looked for through the place that is furthest on."""
    doors = Doors()
    for index in (5, 9):
        doors.restored.put(Through(index, 1, index))
    assert doors.restored_out.receive_nowait() == Through(9, 1, 9)
    assert waiting(doors.restored_out) == 0


@row
async def when_archive_cursor_is_full_how_far_it_is_by_now_counts(tmp_path: Path) -> None:
    with bench(tmp_path) as alone:
        keep = partial(dlq_keeper.run, alone.doors, alone.store, [])
        async with alone.supervised("dlq_keeper", keep):
            for index in (5, 9):
                alone.doors.letters.send_nowait(StoreLetters(index, []))
                await until(lambda x=index: alone.store.cursor == x)  # type: ignore[misc]
            await trio.testing.wait_all_tasks_blocked()
            for door in (alone.doors.archive_cursor_out, alone.doors.shed_cursor_out):
                await until(lambda: alone.doors.events_out.statistics().current_buffer_used == 3)
                assert door.receive_nowait() == 9
                assert waiting(door) == 0


@row
async def when_shed_cursor_is_full_how_far_it_is_by_now_counts(tmp_path: Path) -> None:
    """It is told together with the other one."""
    await when_archive_cursor_is_full_how_far_it_is_by_now_counts(tmp_path)


@row
async def when_standing_is_full_the_newest_counts(tmp_path: Path) -> None:
    """That it reigned once says nothing of a core that has stopped."""
    with bench(tmp_path) as alone:
        recovered = alone.recover()
        recovered.writer.close()
        ruling = Reign(alone, alone.core(recovered))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ruling.keep)
            nursery.start_soon(ruling.rule, alone.runner)
            await until(lambda: waiting(alone.doors.standing_out) == 1)
            nursery.cancel_scope.cancel()
        alone.doors.standing.put("stopped")
        assert alone.doors.standing_out.receive_nowait() == "stopped"
        assert waiting(alone.doors.standing_out) == 0


@row
async def when_founded_is_full_the_newest_counts(tmp_path: Path) -> None:
    """A founding that failed half way and is back says it again."""
    doors = Doors()
    for _ in range(2):
        doors.founded.put(CLUSTER)
    assert doors.founded_out.receive_nowait() == CLUSTER
    assert waiting(doors.founded_out) == 0


@row
async def when_file_turns_is_full_the_sender_waits_as_for_its_turn(tmp_path: Path) -> None:
    doors = Doors()
    ends = [trio.open_memory_channel[None](0) for _ in range(limits.FILE_TURNS_ASKED)]
    for turn, _ in ends:
        doors.file_turns.send_nowait(TurnAsked(turn))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(doors.file_turns.send, TurnAsked(ends[0][0]))
        await until(lambda: doors.file_turns.statistics().tasks_waiting_send == 1)
        for _, turn_out in ends:
            turn_out.close()
        nursery.start_soon(FileTurns(doors).run, InProgress())
        await until(lambda: waiting(doors.file_turns_out) == 0)
        nursery.cancel_scope.cancel()


@row
async def when_peering_is_full_the_sender_waits(tmp_path: Path) -> None:
    async with here(own_of("n1"), keeps=False) as node:
        fill(node.doors.peering, Belongs(CLUSTER))
        caller = await node.call()
        await caller.say_bytes(wire.PREFACE + wire.encode(hello_from("n2")))
        await until(lambda: node.doors.peering.statistics().tasks_waiting_send == 1)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(node.peering.run, InProgress())
            assert isinstance(await caller.hear(), Welcome)
            nursery.cancel_scope.cancel()


@row
async def when_verdicts_is_full_is_never_as_there_is_one_for_each_hello(tmp_path: Path) -> None:
    async with here(own_of("n1")) as node:
        verdict, verdict_out = verdict_door()
        await node.doors.peering.send(Greeting(hello_from("n2"), verdict))
        with trio.fail_after(PATIENCE_S):
            assert isinstance(await verdict_out.receive(), Welcome)
        await node.attend("n2")
        with trio.fail_after(PATIENCE_S), pytest.raises(trio.EndOfChannel):
            await verdict_out.receive()  # a newer one is there


@row
async def when_claims_is_full_who_claims_this_node_now_takes_the_place(tmp_path: Path) -> None:
    async with here(own_of("n1", cluster=None)) as node:
        for cluster in (b"x" * 16, CLUSTER):
            caller = await node.call()
            await caller.greet(hello_from("n2", cluster=cluster))
        assert waiting(node.doors.claims_out) == 1
        assert node.doors.claims_out.receive_nowait() == CLUSTER


@row
async def when_dials_is_full_what_this_node_is_by_now_takes_its_place(tmp_path: Path) -> None:
    dials, dials_out = dial_door()
    for membership in (1, 2):
        dials.put(Own("n1", b"n1" * 8, membership=membership))
    assert dials_out.receive_nowait().membership == 2
    assert waiting(dials_out) == 0


@row
async def when_catch_up_is_full_a_wish_is_dropped_and_asked_for_again(tmp_path: Path) -> None:
    """A peer needs a Checkpoint that nobody reads now: the leader reigns on, and asks again."""
    met = ev.PeerMet("n2", b"j" * 16, "there:2", CLUSTER_VERSION)
    add = {"node": "n2", "peer_address": "127.0.0.1:2"}
    with bench(tmp_path) as alone:
        doors = alone.doors
        async with reign(alone) as ruling:
            guest = await ruling.join()
            await doors.events.send(met)
            await doors.events.send(ev.Asked(1, 1, "admin.add", args=add))
            await guest.hear(m.Item)
            fill(doors.catch_up, MarkWhole(whole=True, why=""))
            raft = ruling.core.raft
            raft.log.compact(raft.log.commit, 0)
            # It has nothing, and the Entries it lacks are not in memory: they are to be read.
            nothing = AppendReply(raft.term, False, raft.log.last.index, 0, 0, 0, True, 0)
            await doors.events.send(ev.Heard("n2", nothing))
            await guest.send(packet(1))
            assert (await guest.hear(m.Ack)).runs[0].outcome == m.APPLIED
            assert waiting(doors.catch_up) == limits.CATCH_UP_WISHES
            while waiting(doors.catch_up):
                assert doors.catch_up_out.receive_nowait() == MarkWhole(whole=True, why="")
            async with alone.supervised("beats", partial(beats.run, doors)):
                with trio.fail_after(PATIENCE_S):
                    wish = await doors.catch_up_out.receive()
            assert isinstance(wish, ReadEntries)
            assert (wish.peer, wish.after_index) == ("n2", 0)


@row
async def when_audits_is_full_a_sample_is_left_out_and_counted(tmp_path: Path) -> None:
    """The node follows on, and whoever is done with a key may forget it."""
    with node_in(tmp_path / "leader", shop) as leader, bench(tmp_path / "n2") as alone:
        for seq in range(limits.AUDITS_WAITING + 3):
            leader.send("probe", ("cell/a", seq))
        ruling = Reign(alone, follower_of(leader, shop))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ruling.keep)
            nursery.start_soon(ruling.rule, alone.runner)
            await alone.doors.events.send(ledger_of(leader))
            state = leader.core.committed
            await until(lambda: ruling.core.committed.index == state.index)
            nursery.cancel_scope.cancel()
        assert ruling.core.committed.digest() == state.digest()
        audits = alone.doors.audits_out
        assert waiting(audits) == limits.AUDITS_WAITING
        assert alone.instruments.audits.skipped == {"full": 3}
        index = ruling.core.committed.world.index
        pins = [audits.receive_nowait().pin for _ in range(limits.AUDITS_WAITING)]
        published = alone.doors.publications_out.receive_nowait().pin
        assert list(index._pins) == sorted([*pins, published])


@row
async def when_answers_is_full_the_connection_is_cut(tmp_path: Path) -> None:
    with bench(tmp_path) as alone:
        async with reign(alone) as ruling:
            guest, other = await ruling.join(), await ruling.join("other", connection=2)
            for _ in range(limits.ANSWERS_MAX + 10):
                await guest.doors.events.send(ev.Asked(guest.connection, 5, "ping"))
                await other.doors.events.send(ev.Asked(other.connection, 6, "ping"))
                assert (await other.hear(m.Pong)).token in {0, 6}
            unread = 0
            async for messages in guest.answers_out:  # the door is closed behind them
                unread += len(messages)
            assert unread == limits.ANSWERS_MAX
            await other.send(packet(1))
            assert (await other.hear(m.Ack)).runs[0].outcome == m.APPLIED


@row
async def when_pages_is_full_the_sender_waits_and_ticks_are_conflated(tmp_path: Path) -> None:
    pictures = Pictures()
    picture = PublishedWorld(Feed())
    picture.take([pictures.next({"cell/a": 0})])
    _, _, pages, pages_out = connection_doors()
    subscribe = m.Subscribe(1, ["#"], {"rate_hz": 1000})
    history = History((tmp_path,), lambda: b"c" * 16, lambda: (limits.TICK_PERIOD_NS, "shop"))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(picture.run)
        nursery.start_soon(Feeder(picture, history, subscribe, pages).run)
        for i in range(1, 6):  # nobody reads: the feeder has its first page in hand
            await trio.testing.wait_all_tasks_blocked()
            picture.take([pictures.next({"cell/a": i})])
        full, delta = [snapshot_in(await pages_out.receive()) for _ in range(2)]
        assert (full.kind, delta.kind) == (m.FULL, m.DELTA)
        assert delta.skipped == 4
        assert [cbor2.loads(cell.value) for cell in delta.cells] == [5]
        nursery.cancel_scope.cancel()


_SLOW = {"letters"}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(door.name, marks=[pytest.mark.slow] if door.name in _SLOW else [])
        for door in DOORS
    ],
)
async def test_a_full_door(name: str, tmp_path: Path) -> None:
    await ROWS[name](tmp_path)


def test_each_row_of_the_table_has_its_test() -> None:
    assert set(ROWS) == {door.name for door in DOORS}


def test_the_table_is_true_of_the_channels() -> None:
    doors = Doors()
    answers, _, pages, _ = connection_doors()
    hurrying, _, bulk, _ = link_doors()
    _, dials = dial_door()
    singles: dict[str, Any] = {"answers": answers, "pages": pages}
    verdict, _ = verdict_door()
    singles |= {"peers": hurrying, "bulk": bulk, "dials": dials, "verdicts": verdict}
    for door in DOORS:
        channel: Any = {**vars(doors), **singles}[door.name]
        if isinstance(channel, Latest):
            channel = getattr(doors, f"{door.name}_out")
        assert channel.statistics().max_buffer_size == door.capacity
    found = {x for x in vars(doors) if not x.endswith("_out")} - {"lives"}  # these are no doors
    assert found == {x.name for x in DOORS} - singles.keys()


def test_a_new_reign_finds_an_empty_ledger_door() -> None:
    doors = Doors()
    doors.ledger.send_nowait(Persist(9, []))
    doors.renew_reign()
    assert waiting(doors.ledger_out) == 0
    doors.ledger.send_nowait(Persist(1, []))
    assert doors.ledger_out.receive_nowait() == Persist(1, [])


async def test_the_arbiter_is_woken_once_for_what_waits_at_the_intake_door() -> None:
    doors = Doors()
    intake = IntakeDoor(doors)
    for _ in range(3):
        await intake.offer(ev.Left(1, "probe", 1))
    assert waiting(doors.intake) == 3
    assert waiting(doors.events) == 1
