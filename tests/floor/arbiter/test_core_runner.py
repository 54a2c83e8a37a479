"""The core of a node from one reading of the disk to the next (R15, R17, R24, R29)."""

from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import crc32c
import pytest
import trio

from rmf import limits
from rmf.core import events as ev
from rmf.core import messages as m
from rmf.core.arbiter import Arbiter, NodeIdentity
from rmf.core.effects import StoreLetters
from rmf.core.entry import Accession, Entry, Genesis, LineId, Member, decode_entry, encode_entry
from rmf.core.entry_kinds import CLUSTER_VERSION
from rmf.core.raft.peer_messages import Append, Chunk, ReadAsk, ReadReply, WireEntry
from rmf.core.record import ENTRY
from rmf.errors import LedgerDamaged
from rmf.floor.arbiter.core_runner import CoreRunner
from rmf.floor.arbiter.node_resources import NodeResources
from rmf.floor.data.file_turns import FileTurns
from rmf.floor.doors import connection_doors, link_doors
from rmf.floor.items import Linked, Opened, Through
from rmf.floor.stand_ins import give_no_turn
from rmf.floor.supervisor import InProgress
from rmf.storage.chunks import ChunkReader
from rmf.storage.genesis_draft import write_draft
from rmf.storage.install import Receiver
from rmf.storage.repair import is_repairing
from rmf.storage.scan import LedgerScan
from rmf.storage.segments import GENESIS
from rmf.testing.knobs import bounds
from tests.floor.factory import segments
from tests.floor.kit import BOOT_ID, Bench, Guest, bench, ledger_threads
from tests.floor.lines import shop
from tests.floor.wire import PATIENCE_S, packet, until
from tests.storage.hanging import hanging
from tests.storage.ledger_kit import overwrite
from tests.storage.written_node import CLUSTER, written_node


class Living:
    """A life, with a test in the place of connections and keepers."""

    def __init__(self, alone: Bench, *, has_peers: bool = False) -> None:
        self.alone = alone
        self.doors = alone.doors
        self.in_progress = InProgress()
        incarnation = alone.directory.incarnation
        period_ns = limits.TICK_PERIOD_NS
        ground = NodeResources(
            directory=alone.directory,
            store=lambda: alone.store,
            doors=alone.doors,
            runner=alone.runner,
            listens=shop.listens,
            boot_id=BOOT_ID,
            ingest_depth=limits.INGEST_DEPTH_PACKETS,
            has_peers=has_peers,
            instruments=alone.instruments,
        )
        self.life = CoreRunner(
            ground,
            NodeIdentity("n1", incarnation, shop.identity, period_ns, "here:1", "rmf/test"),
        )

    @property
    def core(self) -> Arbiter:
        assert self.life.core is not None
        return self.life.core

    async def run(self) -> None:
        await self.life.run(self.in_progress)

    async def only_answer(self, why: str) -> None:
        await self.life.only_answer(why, self.in_progress)

    async def stopped(self) -> None:
        """Return once it says that it has stopped."""
        while await self.doors.standing_out.receive() != "stopped":
            pass

    async def ask(self, subject: str, **args: Any) -> list[m.Message]:
        """Ask on a connection of its own."""
        answers, answers_out, *_ = connection_doors()
        connection = id(answers)
        await self.doors.events.send(Opened(connection, answers))
        await self.doors.events.send(ev.Asked(connection, 1, subject, args=args))
        with trio.fail_after(PATIENCE_S):
            return await answers_out.receive()

    async def status(self) -> dict[str, Any]:
        item, _ = await self.ask("status")
        assert isinstance(item, m.Item)
        return item.body

    async def produce(self, topic: str, connection: int = 1) -> m.Run:
        """A producer comes, sends its next packet, and hears what became of it."""
        await until(lambda: self.life.core is not None and self.core.has_acceded)
        answers, answers_out, *_ = connection_doors()
        await self.doors.events.send(Opened(connection, answers))
        joined = ev.Joined(connection, "probe", "self-declared:probe", False)
        await self.doors.intake.send(joined)
        await self.doors.events.send(ev.Beat())
        guest = Guest(self.doors, "probe", connection, answers_out)
        facts = (await guest.hear(m.Welcome)).facts
        guest.epoch = facts["epoch"]
        await guest.send(packet(facts["last_seq"] + 1, topic))
        (run,) = (await guest.hear(m.Ack)).runs
        assert isinstance(run, m.Run)
        return run

    async def core_after(self, former: Arbiter) -> Arbiter:
        """Return the core that follows, once it reigns."""
        await until(lambda: self.core is not former and self.core.has_acceded)
        return self.core


@asynccontextmanager
async def living(
    alone: Bench, *, has_peers: bool = False, gives_turns: bool = True
) -> AsyncIterator[Living]:
    """Live, and stop in the end."""
    made = Living(alone, has_peers=has_peers)
    async with trio.open_nursery() as nursery:
        if gives_turns:
            nursery.start_soon(FileTurns(alone.doors).run, InProgress())
        else:
            nursery.start_soon(give_no_turn, alone.doors, "it failed")
        nursery.start_soon(made.run)
        yield made
        nursery.cancel_scope.cancel()


def is_another(living_one: Living, former: Arbiter) -> bool:
    """Whether a core was loaded in the place of the former one."""
    return living_one.core is not former


def strange_append(core: Arbiter) -> ev.Heard:
    """What a leader would say whose history is another one."""
    base, entry = core.raft.log.base, WireEntry(9, 0, b"of another history")
    place = (base.index, base.term, b"another chain...")
    return ev.Heard("n2", Append(9, *place, base.index, base.index + 1, 0, False, 1, [entry]))


def wrong_append(core: Arbiter) -> ev.Heard:
    """What a leader would say whose World is another one, behind the same Entries."""
    last, tick = core.raft.log.last, core.committed.tick + 1
    books = Accession("n2", LineId("shop", 1, b""), age_unknown=False)
    body = encode_entry(Entry(tick, 0, b"another digest..", books))
    entry = WireEntry(9, crc32c.crc32c(body), body)
    index = last.index + 1
    return ev.Heard("n2", Append(9, *last, index, index, 0, False, 1, [entry]))


# --- A lone node ----------------------------------------------------------------------------------


async def test_a_core_is_loaded_reigns_and_is_stopped(tmp_path: Path) -> None:
    with bench(tmp_path) as alone:
        async with living(alone) as living_one:
            life = living_one.life
            with trio.fail_after(PATIENCE_S):
                assert await living_one.doors.standing_out.receive() == "reigns"
            assert living_one.core.has_acceded
            run = await living_one.produce("cell/a")
            assert run.outcome == m.APPLIED
            assert life.serial() >= 4  # a vote, Genesis, Accession, the Tick
            await living_one.doors.events.send(ev.StopAsked())
            with trio.fail_after(PATIENCE_S):
                await living_one.stopped()
            answers, answers_out, *_ = connection_doors()
            await living_one.doors.events.send(Opened(9, answers))
            with pytest.raises(trio.EndOfChannel), trio.fail_after(PATIENCE_S):
                await answers_out.receive()  # who comes now is turned away


async def test_an_operator_ends_a_strike_and_the_disk_is_read_again(tmp_path: Path) -> None:
    with bench(tmp_path) as alone:
        async with living(alone) as living_one:
            await living_one.produce("cell/a")
            former = living_one.core
            await living_one.ask("admin.strike", why="to look at it")
            assert (await living_one.status())["strike"]["kind"] == "admin"
            await living_one.ask("admin.strike", end=True)
            core = await living_one.core_after(former)
            assert core.committed.world.get("cell/a") is not None
            assert core.raft.term > former.raft.term
            run = await living_one.produce("cell/b", connection=2)
            assert (run.seq, run.outcome) == (2, m.APPLIED)
            assert living_one.doors.lives == 1


async def test_ticks_never_go_back_through_a_reload(tmp_path: Path) -> None:
    """R6, R15: what the core before knew of the time, its disk need not: it followed a reign whose
    clock was ahead, and wrote nothing meanwhile."""
    with bench(tmp_path) as alone:
        async with living(alone) as living_one:
            await living_one.produce("cell/a")
            former = living_one.core
            clock = former.raft.pace.clock
            assert clock is not None
            ahead = attrs.evolve(clock, base_tick=clock.base_tick + 50_000)
            former.raft.pace.clock = ahead
            await living_one.ask("admin.strike", why="to look at it")
            await living_one.ask("admin.strike", end=True)
            core = await living_one.core_after(former)
            await living_one.produce("cell/b", connection=2)
            assert core.committed.tick >= ahead.base_tick


async def test_the_end_of_a_strike_cuts_no_client_without_a_word(tmp_path: Path) -> None:
    """R17: who watches or asks goes on; a producer is sent off, for only a WELCOME says what of its
    packets is committed."""
    with bench(tmp_path) as alone:
        async with living(alone) as living_one:
            doors = living_one.doors
            await until(lambda: living_one.life.core is not None and living_one.core.has_acceded)
            display, display_out, *_ = connection_doors()
            probe, probe_out, *_ = connection_doors()
            await doors.events.send(Opened(7, display))
            await doors.events.send(Opened(8, probe))
            await doors.intake.send(ev.Joined(8, "probe", "self-declared:probe", False))
            await doors.events.send(ev.Beat())
            (welcome,) = await heard(probe_out)
            assert isinstance(welcome, m.Welcome)
            former = living_one.core
            await living_one.ask("admin.strike", why="to look at it")
            await living_one.ask("admin.strike", end=True)
            await living_one.core_after(former)
            (goaway,) = await heard(probe_out)
            assert isinstance(goaway, m.Goaway)
            assert (goaway.code, goaway.text) == ("no_reign", "an operator ends the strike")
            with pytest.raises(trio.EndOfChannel):
                await heard(probe_out)
            await doors.events.send(ev.Asked(7, 5, "ping"))
            (pong,) = await heard(display_out)
            assert isinstance(pong, m.Pong)
            assert pong.token == 5


async def test_a_client_that_waits_with_a_node_for_its_cluster_has_to_connect_again(
    tmp_path: Path,
) -> None:
    """What WELCOME said there, of the period and the cluster, is no more true."""
    with bench(tmp_path, found=False) as alone:
        async with living(alone) as living_one:
            await until(lambda: living_one.life.core is not None)
            early, early_out, *_ = connection_doors()
            await living_one.doors.events.send(Opened(7, early))
            await living_one.doors.events.send(ev.Asked(7, 0, "welcome"))
            (welcome,) = await heard(early_out)
            assert isinstance(welcome, m.Welcome)
            assert welcome.facts["cluster"] == b""
            alone.directory.found(b"c" * 16)
            living_one.doors.founded.put(CLUSTER)
            (goaway,) = await heard(early_out)
            assert isinstance(goaway, m.Goaway)


async def heard(answers: trio.MemoryReceiveChannel[list[m.Message]]) -> list[m.Message]:
    with trio.fail_after(PATIENCE_S):
        return await answers.receive()


async def test_no_second_writer_is_opened_while_the_first_ones_write_hangs(
    tmp_path: Path,
) -> None:
    """R23: the node strikes with words; once the disk is back nothing that was acked is lost."""
    with bench(tmp_path) as alone, bounds({"STOP_S_MAX": 0.01}), ExitStack() as stack:
        async with living(alone) as living_one:
            await living_one.produce("cell/a")
            former, writer = living_one.core, living_one.life._writer
            assert writer is not None
            disk = stack.enter_context(hanging(writer.pen))
            await living_one.doors.intake.send(ev.Joined(9, "next", "self-declared:next", False))
            await living_one.doors.events.send(ev.Beat())
            await living_one.ask("admin.strike", why="the disk hangs")
            await living_one.ask("admin.strike", end=True)
            await until(lambda: living_one.core is not former)
            status = await living_one.status()
            assert status["strike"]["kind"] == "disk"
            assert "a write of this node has been in the kernel" in status["strike"]["why"]
            assert status["world"]["cells"] == 1
            (told,) = await living_one.ask("admin.strike", end=True)
            assert isinstance(told, m.End)
            assert told.code == "not_possible"
            disk.set()
            await until(lambda: not ledger_threads())
        recovered = alone.recover()
        recovered.writer.close()
        assert recovered.notes == []
        last = recovered.standing.tail[-1].index if recovered.standing.tail else 0
        assert max(last, recovered.state.index) == former.committed.index


async def test_where_no_file_may_be_moved_any_more_the_next_core_only_answers(
    tmp_path: Path,
) -> None:
    """The task that gives turns was given up: that fails no other task (the nemesis, seed 223)."""
    with bench(tmp_path) as alone:
        async with living(alone, gives_turns=False) as living_one:
            await living_one.produce("cell/a")
            former = living_one.core
            await living_one.ask("admin.strike", why="to look at it")
            await living_one.ask("admin.strike", end=True)
            await until(lambda: living_one.core is not former)
            status = await living_one.status()
            assert status["strike"]["kind"] == "state"
            assert "no task says whose turn it is" in status["strike"]["why"]
            assert status["world"]["cells"] == 1


async def test_what_a_core_was_told_of_its_surroundings_the_next_one_knows(tmp_path: Path) -> None:
    """R15, R38: a mark is told when it changes; the disk is as full as before."""
    with bench(tmp_path) as alone:
        async with living(alone) as living_one:
            await living_one.produce("cell/a")
            former = living_one.core
            await living_one.doors.events.send(ev.LettersStored(0, 0, {"letters": 7}))
            await living_one.doors.events.send(ev.BoxLost(3))
            await living_one.doors.events.send(ev.DiskMark("hard", 0))
            await living_one.ask("admin.strike", why="to look at it")
            await living_one.ask("admin.strike", end=True)
            await living_one.core_after(former)
            status = await living_one.status()
            assert status["disk"] == "hard"
            assert status["dlq"] == {"letters": 7}
            assert status["glovebox"] == {"restarts": 3}


async def test_who_is_here_is_known_to_a_core_before_anything_they_say(tmp_path: Path) -> None:
    """They were let in while another core was loaded; who left meanwhile is not here."""
    met = ev.PeerMet("n2", b"j" * 16, "there:2", CLUSTER_VERSION)
    gone = attrs.evolve(met, peer="n3")
    with bench(tmp_path) as alone:
        async with living(alone) as living_one:
            await living_one.produce("cell/a")
            former = living_one.core
            for event in (met, gone, ev.PeerLost("n3")):
                await living_one.doors.events.send(event)
            await living_one.ask("admin.strike", why="to look at it")
            await living_one.ask("admin.strike", end=True)
            core = await living_one.core_after(former)
            assert core.book.met == {"n2": met}


async def test_a_link_outlives_a_core(tmp_path: Path) -> None:
    """What the next core tells a peer goes by the doors that the one before was given."""
    with bench(tmp_path) as alone:
        async with living(alone) as living_one:
            await living_one.produce("cell/a")
            former = living_one.core
            hurrying, hurrying_out, bulk, _ = link_doors()
            await living_one.doors.events.send(Linked("n2", hurrying, bulk))
            await living_one.doors.events.send(
                ev.PeerMet("n2", b"2" * 16, "there:2", CLUSTER_VERSION)
            )
            await living_one.ask("admin.strike", why="to look at it")
            await living_one.ask("admin.strike", end=True)
            core = await living_one.core_after(former)
            read = ReadAsk(core.raft.term, 7)
            await living_one.doors.events.send(ev.Heard("n2", read))
            with trio.fail_after(PATIENCE_S):
                assert isinstance(await hurrying_out.receive(), ReadReply)


async def test_letters_that_a_core_handed_over_are_waited_for_by_the_next_one(
    tmp_path: Path,
) -> None:
    """R16: else two cores fill a door that one cannot."""
    with bench(tmp_path) as alone:
        async with living(alone) as living_one:
            await living_one.produce("raises")
            former = living_one.core
            assert former.surroundings.letters_unstored == 1
            await living_one.ask("admin.strike", why="to look at it")
            await living_one.ask("admin.strike", end=True)
            core = await living_one.core_after(former)
            letters = letters_waiting(living_one)
            assert core.surroundings.letters_unstored == letters >= 1
            await living_one.doors.events.send(ev.LettersStored(letters, core.committed.index, {}))
            await until(lambda: core.surroundings.letters_unstored == 0)


def letters_waiting(living_one: Living) -> int:
    """How many letters of the line are in the door of the DLQ keeper."""
    door, letters = living_one.doors.letters_out, 0
    for _ in range(door.statistics().current_buffer_used):
        item = door.receive_nowait()
        letters += len(item.letters) if isinstance(item, StoreLetters) else 0
    return letters


async def test_a_lone_node_whose_state_is_wrong_goes_on_to_show_it(tmp_path: Path) -> None:
    """There is nobody to fetch another one from: nothing is set aside, and it says so."""
    with bench(tmp_path) as alone:
        async with living(alone) as living_one:
            await living_one.produce("cell/a")
            former = living_one.core
            await living_one.doors.events.send(wrong_append(former))
            await until(lambda: living_one.core is not former)
            status = await living_one.status()
            assert status["strike"]["kind"] == "state"
            assert "states the digest" in status["strike"]["why"]
            assert status["world"]["cells"] == 1
            assert not set_aside_in(tmp_path)
            await living_one.doors.events.send(ev.StopAsked())
            with trio.fail_after(PATIENCE_S):
                await living_one.stopped()


async def test_what_is_given_up_shows_the_newest_state_that_any_core_had(tmp_path: Path) -> None:
    """A core that was loaded a moment ago may not know yet that all of its ledger is committed."""
    with bench(tmp_path) as alone:
        async with living(alone) as living_one:
            await living_one.produce("cell/a")
            newest = living_one.core.committed
        assert living_one.life.load().state.index < newest.index
        async with trio.open_nursery() as nursery:
            nursery.start_soon(living_one.only_answer, "restarts are spent")
            status = await living_one.status()
            assert status["strike"] == {"kind": "state", "why": "restarts are spent"}
            assert (status["tick"], status["world"]["cells"]) == (newest.tick, 1)
            nursery.cancel_scope.cancel()


def set_aside_in(data: Path) -> list[Path]:
    """The ledgers that were set aside."""
    return list(data.glob("damaged-*"))


# --- Damage ---------------------------------------------------------------------------------------


async def damaged(tmp_path: Path) -> None:
    """Leave a ledger that is damaged in the middle."""
    with bench(tmp_path) as alone:
        async with living(alone) as living_one:
            await living_one.produce("cell/a")
            await living_one.doors.events.send(ev.StopAsked())
            await living_one.stopped()
    overwrite(segments(tmp_path)[0], 300, b"\xff" * 8)


async def test_a_lone_node_does_not_start_from_a_damaged_ledger(tmp_path: Path) -> None:
    await damaged(tmp_path)
    with bench(tmp_path) as alone:
        with pytest.raises(LedgerDamaged):
            Living(alone).life.load()
        assert is_repairing(tmp_path) is None
        assert not set_aside_in(tmp_path)


async def test_a_member_sets_a_damaged_ledger_aside_and_promises_nothing(tmp_path: Path) -> None:
    await damaged(tmp_path)
    with bench(tmp_path) as alone:
        async with living(alone, has_peers=True) as living_one:
            status = await living_one.status()
            assert (status["whole"], status["index"], status["role"]) == (False, 0, "follower")
            assert is_repairing(tmp_path) is not None
            assert set_aside_in(tmp_path)
            await trio.sleep(2 * limits.ELECTION_NS_MAX / limits.SECOND)
            assert not living_one.core.reigns  # not even alone
            assert living_one.core.raft.term == 1  # what it promised it still knows


async def test_a_member_whose_state_is_wrong_starts_over(tmp_path: Path) -> None:
    with bench(tmp_path) as alone:
        async with living(alone, has_peers=True) as living_one:
            await living_one.produce("cell/a")
            former = living_one.core
            await living_one.doors.events.send(wrong_append(former))
            await until(lambda: living_one.core is not former)
            status = await living_one.status()
            assert (status["whole"], status["index"]) == (False, 0)
            assert is_repairing(tmp_path) is not None


async def test_a_ledger_that_verifies_is_not_thrown_away_on_another_nodes_word(
    tmp_path: Path,
) -> None:
    """It is read again, twice: the leader hears of it between; then people have to decide."""
    with bench(tmp_path) as alone:
        async with living(alone, has_peers=True) as living_one:
            await living_one.produce("cell/a")
            await living_one.produce(
                "cell/b", 2
            )  # from here on its ledger says that "a" is committed
            for _ in range(2):
                former = living_one.core
                await living_one.doors.events.send(strange_append(former))
                await until(partial(is_another, living_one, former))
                assert (await living_one.status())["strike"]["kind"] == "no_reign"
            await living_one.doors.events.send(strange_append(living_one.core))
            status = await living_one.status()
            assert (status["strike"]["kind"], status["whole"]) == ("state", True)
            assert "packets that were acked are missing" in status["strike"]["why"]
            assert status["world"]["cells"] == 1
            assert not set_aside_in(tmp_path)


# --- A Checkpoint of the leader -------------------------------------------------------------------


async def test_an_installed_checkpoint_is_what_the_next_core_begins_with(tmp_path: Path) -> None:
    data = tmp_path / "n1"
    with written_node(tmp_path / "n2", "n2") as leader, bench(data, found=False) as alone:
        leader.write(*leader.author.genesis(), leader.author.tick("cell/a", "raises"))
        leader.commit()
        leader.checkpoint()
        found = ChunkReader(leader.directory.checkpoints, CLUSTER).read("n1", None, 0)
        alone.directory.found(CLUSTER)
        write_draft(data, CLUSTER, ())
        async with living(alone, has_peers=True) as living_one:
            living_one.doors.founded.put(CLUSTER)
            await until(lambda: living_one.life.core is not None)
            former = living_one.core
            place = (found.index, found.entry_term, found.chain, found.content)
            chunk = whole_chunk(place, found.data)
            heard = Receiver(data, CLUSTER).take("n2", chunk, living_one.life.serial())
            assert heard.complete
            await living_one.doors.events.send(heard)
            await until(lambda: living_one.core is not former)
            state = living_one.core.committed
            assert state.digest() == leader.author.state.digest()
            assert state.index == found.index
            # Where a Checkpoint brought the state, letters of before are looked for (R39).
            through = living_one.doors.restored_out.receive_nowait()
            assert through == Through(state.index, state.term, state.tick)


def whole_chunk(place: tuple[int, int, bytes, bytes], data: bytes) -> Any:
    """A Checkpoint in one piece."""
    return Chunk(1, *place, len(data), 0, data, 1)


# --- Before there is a cluster --------------------------------------------------------------------


async def test_before_it_belongs_to_a_cluster_it_answers_and_no_more(tmp_path: Path) -> None:
    with bench(tmp_path, found=False) as alone:
        async with living(alone, has_peers=True) as living_one:
            status = await living_one.status()
            assert (status["strike"]["kind"], status["index"]) == ("no_reign", 0)
            assert living_one.doors.restored_out.statistics().current_buffer_used == 0
            await living_one.doors.events.send(ev.StopAsked())
            with trio.fail_after(PATIENCE_S):
                await living_one.stopped()


async def test_the_founder_writes_genesis_once_and_only_into_an_empty_ledger(
    tmp_path: Path,
) -> None:
    members = (Member("n1", b"1" * 16), Member("n2", b"2" * 16), Member("n3", b"3" * 16))
    with bench(tmp_path, found=False) as alone:
        alone.directory.found(CLUSTER)
        write_draft(tmp_path, CLUSTER, members)
        for _ in range(2):
            async with living(alone, has_peers=True) as living_one:
                living_one.doors.founded.put(CLUSTER)
                await until(lambda: living_one.life.core is not None)
                assert living_one.core.raft.members == members
                assert not living_one.core.has_acceded  # there is no majority
        records = LedgerScan(alone.directory.ledgers, CLUSTER, GENESIS)
        bodies = [decode_entry(x.body).books for x in records if x.kind == ENTRY]
        assert bodies == [Genesis(CLUSTER, limits.TICK_PERIOD_NS, list(members))]


async def test_who_joined_a_cluster_never_takes_itself_for_alone(tmp_path: Path) -> None:
    with bench(tmp_path, found=False) as alone:
        alone.directory.found(CLUSTER)
        write_draft(tmp_path, CLUSTER, ())
        async with living(alone, has_peers=True) as living_one:
            living_one.doors.founded.put(CLUSTER)
            await until(lambda: living_one.life.core is not None)
            assert living_one.core.raft.members == ()
            await trio.sleep(2 * limits.ELECTION_NS_MAX / limits.SECOND)
            assert (living_one.core.raft.term, living_one.core.reigns) == (0, False)
