"""The stages of a packet's way, each with the CPU time that it takes, in one process.

What runs is the code of the client, the leader, its glove box and one follower, without sockets,
disks, tasks or other processes, so that thread CPU time is all there is to it: syscalls, hand-overs
and trio are what a whole node costs beyond that (see budget_nodes). A round is one Tick. The stages
of a round come in the order in which packets pass them.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from rmf import limits
from rmf.client.client_session import ClientSession
from rmf.core import codec
from rmf.core import effects as ef
from rmf.core import events as ev
from rmf.core import messages as m
from rmf.core.feed import Feed
from rmf.core.raft import wire
from rmf.core.raft.peer_messages import PeerMessage
from rmf.core.server_session import ServerSession
from rmf.core.state import State
from rmf.errors import RmfError
from rmf.line.board import board
from rmf.line.changes import Changes
from rmf.line.glovebox import pipe
from rmf.line.glovebox.cache import CachedWorld
from rmf.line.glovebox.cells_along import CellsAlong
from rmf.storage.records import record_frame
from tools.bench_load import keys_of, packets_of
from tools.budget_cores import LEADER, BudgetNode, founded, heard, pass_time

__all__ = ["STAGES", "Pipeline", "StageTimes"]

_UNTIL_NOTICE_NS = 60 * limits.MS  # a heartbeat is due by then

StageTimes = dict[str, int]  # of a round: ns of CPU
_T = TypeVar("_T")

# Of each stage: in which process it runs, and how often with three nodes (with one: what stands on
# a follower is not there).
STAGES: Final[dict[str, tuple[str, int]]] = {
    "client: build and encode SEND": ("client", 1),
    "leader: read and judge SEND": ("leader", 1),
    "leader: latch": ("leader", 1),
    "leader: write RUN": ("leader", 1),
    "box: read RUN": ("box", 1),
    "box: handlers": ("box", 1),
    "box: write DONE, free": ("box", 1),
    "leader: read and check DONE": ("leader", 1),
    "leader: apply, Entry, propose": ("leader", 1),
    "leader: ledger record": ("leader", 1),
    "leader: encode Append": ("leader", 2),
    "follower: read Append, accept": ("follower", 2),
    "follower: ledger record": ("follower", 2),
    "follower: written, answer": ("follower", 2),
    "leader: commit, acks": ("leader", 1),
    "leader: feed": ("leader", 1),
    "leader: encode ACK": ("leader", 1),
    "client: decode ACK": ("client", 1),
    "follower: apply": ("follower", 2),
}


class Pipeline:
    """A client, a leader with its glove box, and a follower if there are several nodes."""

    def __init__(self, nodes: int, payload: bytes, keys: int = 1000) -> None:
        self._payload = payload
        self._names = keys_of(keys)
        self._seq = 1
        self._cores = founded(board, nodes)
        self._leader = self._cores[0]
        self._follower = self._cores[1] if nodes > 1 else None
        self._world = CachedWorld(board.name, _no_cells, _no_cells, limits.BOX_MEMORY_BYTES)
        self._along = CellsAlong()
        self._feed, self._feed_there = Feed(), Feed()
        self._client = ClientSession({"producer": "budget"})
        self._session = ServerSession(1, "budget")
        self._frames = wire.Frames(limits.PEER_FRAME_BYTES_MAX)
        self.ledger_bytes = 0  # of the last round
        self._times: StageTimes = {}
        self._join()

    def round(self, frames: int, batch: int) -> StageTimes:
        """Send so many frames of so many packets through all stages; return what each took."""
        self._times = {}
        for node in self._cores:
            node.now_ns += 30 * limits.MS
        sent = self._time("client: build and encode SEND", self._build, frames, batch)
        offers = self._time("leader: read and judge SEND", self._judge, sent)
        effects = self._time("leader: latch", self._leader.step, *offers)
        (latched,) = (x.batch for x in effects if isinstance(x, ef.Execute))
        executed = self._run_in_box(latched)
        effects = self._time("leader: apply, Entry, propose", self._leader.step, executed)
        acks = self._time("leader: encode ACK", self._encode, self._commit(effects))
        acked = self._time("client: decode ACK", self._acked, acks)
        if acked != frames * batch:
            raise RmfError(f"of {frames * batch} packets {acked} were acked")
        return self._times

    def states(self) -> list[State]:
        """Return the committed state of each node."""
        return [node.core.committed for node in self._cores]

    def _time(self, stage: str, work: Callable[..., _T], *args: Any) -> _T:
        began_ns = time.thread_time_ns()
        done = work(*args)
        took_ns = time.thread_time_ns() - began_ns
        self._times[stage] = took_ns
        return done

    # --- At the client ----------------------------------------------------------------------------

    def _build(self, frames: int, batch: int) -> list[bytes]:
        sent = []
        for _ in range(frames):
            rows = packets_of(self._seq, batch, self._payload, self._names)
            sent.append(self._client.encode(m.Send(rows)))
            self._seq += batch
        return sent

    def _acked(self, data: bytes) -> int:
        messages = self._client.receive(data)
        return sum(run.packets for x in messages if isinstance(x, m.Ack) for run in x.runs)

    # --- At the leader ----------------------------------------------------------------------------

    def _judge(self, sent: Sequence[bytes]) -> list[Any]:
        steps: list[Any] = []
        for data in sent:
            self._session.feed(data)
            for frame in self._session.frames():
                steps += self._session.take(frame, self._leader.now_ns)
        return steps

    def _encode(self, answers: Sequence[m.Message]) -> bytes:
        self._session.said(answers)
        return b"".join(map(codec.encode, answers))

    def _commit(self, effects: list[ef.Effect]) -> list[m.Message]:
        """Write and replicate what was proposed; return what is answered once it is committed."""
        leader, follower = self._leader, self._follower
        persist = _persist_of(effects)
        written = self._written("leader: ledger record", leader, [persist])
        came: list[ev.Event] = [written]
        if follower is not None:
            (append,) = _messages_for(follower, effects)
            data = self._time("leader: encode Append", wire.encode, append)
            came.append(self._replicate(follower, data))
        effects = self._time("leader: commit, acks", leader.step, *came)
        self._time("leader: feed", self._publish, self._feed, effects)
        if follower is not None:
            self._spread_commit(follower)
        return [y for x in effects if isinstance(x, ef.Answer) for y in x.messages]

    def _spread_commit(self, follower: BudgetNode) -> None:
        """Have the follower hear what is committed, and apply it. Under load it hears that with the
        next Append; here by itself, so that both can be told apart."""
        leader = self._leader
        leader.now_ns += _UNTIL_NOTICE_NS
        told = _messages_for(follower, leader.step(ev.Beat()))
        heartbeats = [heard(leader, message) for message in told]
        there = self._time("follower: apply", self._apply, follower, heartbeats)
        replies = [heard(follower, message) for message in _messages_for(leader, there)]
        leader.settle(leader.step(*replies))
        leader.told.clear()
        if follower.core.committed.index != leader.core.committed.index:
            raise RmfError("the follower has not applied what is committed")

    def _written(
        self, stage: str, node: BudgetNode, persists: Sequence[ef.Persist]
    ) -> ev.Persisted:
        persisted = node.written(persists)
        record = node.last_record()
        self.ledger_bytes = len(self._time(stage, record_frame, record))
        return persisted

    @staticmethod
    def _publish(feed: Feed, effects: Sequence[ef.Effect]) -> None:
        for effect in effects:
            if isinstance(effect, ef.Publish):
                feed.publish(effect)

    # --- In the glove box -------------------------------------------------------------------------

    def _run_in_box(self, latched: ef.Batch) -> ev.Executed:
        """Have the line run a batch as the process does (line/glovebox/process)."""
        body = self._time("leader: write RUN", self._run_body, latched)
        batch, cells = self._time("box: read RUN", pipe.decode_run, body, self._world)
        changes, executed = self._time("box: handlers", self._handle, batch, cells)
        done = self._time("box: write DONE, free", self._done_body, batch, changes, executed)
        del batch, cells, changes, executed
        said = self._time("leader: read and check DONE", pipe.decode_done, done, latched)
        self._along.learn(said)
        return said.executed

    def _run_body(self, batch: ef.Batch) -> bytes:
        return pipe.encode_run(batch, self._along.cells(batch))

    def _handle(
        self, batch: ef.Batch, cells: Sequence[pipe.KnownCell]
    ) -> tuple[Changes, ev.Executed]:
        self._world.begin(batch, cells)
        changes = Changes(self._leader.inline.keys, batch.groups)
        return changes, self._leader.inline.run_on(batch, changes)

    def _done_body(self, batch: ef.Batch, changes: Changes, executed: ev.Executed) -> bytes:
        body = pipe.encode_done(executed, reads=self._world.reads, own=self._world.own)
        self._world.end(batch, changes)
        return body

    # --- At the follower --------------------------------------------------------------------------

    def _replicate(self, follower: BudgetNode, data: bytes) -> ev.Heard:
        """Have the follower take an Append and write it; return its answer."""
        effects = self._time("follower: read Append, accept", self._accept, follower, data)
        written = self._written("follower: ledger record", follower, [_persist_of(effects)])
        effects += self._time("follower: written, answer", follower.step, written)
        (reply,) = _messages_for(self._leader, effects)
        return heard(follower, reply)

    def _accept(self, follower: BudgetNode, data: bytes) -> list[ef.Effect]:
        self._frames.feed(data)
        events = [ev.Heard(LEADER, wire.decode(item)) for item in self._frames.frames()]  # type: ignore[arg-type]
        for event in events:
            wire.check_entries(event.message)
        return follower.step(*events)

    def _apply(self, follower: BudgetNode, events: Sequence[ev.Event]) -> list[ef.Effect]:
        effects = follower.step(*events)
        while follower.core.has_more:
            effects += follower.step()
        self._publish(self._feed_there, effects)
        return effects

    def _join(self) -> None:
        """Have the producer welcomed."""
        (joined,) = self._session.open(self._client.opening(), b"")
        assert isinstance(joined, ev.Joined)
        leader = self._leader
        leader.settle(leader.step(joined))
        pass_time(self._cores, lambda: bool(leader.answered))
        self._client.receive(codec.PREFACE + self._encode(leader.answered))
        for node in self._cores:
            node.told.clear()


def _no_cells(*_asked: Any) -> Any:
    """The board reads none."""
    raise AssertionError


def _persist_of(effects: Sequence[ef.Effect]) -> ef.Persist:
    (persist,) = (x for x in effects if isinstance(x, ef.Persist))
    return persist


def _messages_for(node: BudgetNode, effects: Sequence[ef.Effect]) -> list[PeerMessage]:
    return [x.message for x in effects if isinstance(x, ef.Tell) and x.peer == node.name]
