"""Cores of Raft on links with a bandwidth and a length, in virtual time.

A link carries what the sending end of floor/peer_end lets out: what hurries first, bulk in pieces,
one thing at a time. Disks take a millisecond. Nothing is lost unless a test says so.
"""

import heapq
import random
from collections import deque
from collections.abc import Callable, Sequence
from functools import cache
from itertools import count
from typing import Any

from crc32c import crc32c

from rmf import limits
from rmf.core import events as ev
from rmf.core.clock import Pace
from rmf.core.effects import Effect, Persist, ReadChunk, ReadEntries, Tell, WriteChunk
from rmf.core.raft import peer_messages as pm
from rmf.core.raft import wire
from rmf.core.raft.pieces import BULK
from rmf.core.raft.raft_node import Raft
from rmf.core.raft.raft_values import HardState, Place, Standing, Timing
from rmf.core.record import ENTRY
from tests.core.raft.entries_kit import CLUSTER, body_of, members_of

MS, SECOND, KIB = limits.MS, limits.SECOND, limits.KIB

_PIECE_BYTES = 32 * KIB
_FSYNC_NS = MS
_READ_NS = 2 * MS


class World:
    """`names` start; each directed pair has a link of its own. `mbit` may be changed at any time.
    While `fill` is set the leader keeps so many bytes of Entries of that size proposed."""

    def __init__(
        self, names: str = "n1 n2 n3", *, mbit: float, delay_ms: float, timing: Timing
    ) -> None:
        self.now_ns = 0
        self.mbit = mbit
        self.delay_ns = int(delay_ms * MS)
        self.reigns: list[tuple[int, str]] = []  # when, who
        self.fill: int | None = None
        self.read: list[int] = []  # how long each confirmed read took
        self.carried = 0
        self.checkpoint_bytes = 0  # there is one of all that is committed, and no ledger behind it
        self.installed = False
        self._agenda: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._order = count()
        self._received = 0  # of the Checkpoint
        self._dice = random.Random(1)
        self._links: dict[tuple[str, str], _Link] = {}
        self._ledger: dict[int, pm.WireEntry] = {}
        self._chains: dict[int, bytes] = {0: bytes(16)}
        self._timing = timing
        members = members_of(names)
        standing = Standing(HardState(0, None), Place(0, 0, bytes(16)), 0, (), ())
        self.nodes = {
            x.name: _Node(
                Raft(
                    x.name,
                    CLUSTER,
                    standing,
                    members,
                    incarnation=x.incarnation,
                    membership=0,
                    pace=Pace(None),
                    period_ns=100_000,
                    dice=self._dice.random,
                    timing=timing,
                )
            )
            for x in members
        }
        for name in self.nodes:
            self._step(name, lambda raft: raft.start(self.now_ns))
            for other in self.nodes:
                if other != name:
                    self._meet(name, other)

    def _meet(self, name: str, other: str) -> None:
        raft = self.raft(name)
        raft.presence.met(other, next(x.incarnation for x in raft.members if x.name == other))

    # --- What a test does -------------------------------------------------------------------------

    def run(self, seconds: float) -> None:
        """Let so much time go by."""
        until_ns = self.now_ns + int(seconds * SECOND)
        while self._agenda and self._agenda[0][0] <= until_ns:
            self.now_ns, _, call, args = heapq.heappop(self._agenda)
            call(*args)
        self.now_ns = until_ns

    def leader(self) -> str:
        """Who leads in the newest term."""
        leads = [x for x in self.nodes if self.raft(x).leadership is not None]
        return max(leads, key=lambda name: self.raft(name).term)

    def raft(self, name: str) -> Raft:
        return self.nodes[name].raft

    def kill(self, name: str, *, told: bool = True) -> None:
        """End a node; the others hear that its links broke, if they are `told`."""
        self.nodes[name].is_up = False
        for other in self.nodes:
            if told and other != name:
                self.at(self.delay_ns, self._lost, other, name)

    def _lost(self, name: str, peer: str) -> None:
        if self.nodes[name].is_up:
            self.raft(name).peer_lost(peer, self.now_ns)
            self._after(name, self.nodes[name])

    def cut(self, name: str) -> None:
        """Let nothing through to a node or from it."""
        self.nodes[name].is_cut = True

    def heal(self, name: str) -> None:
        self.nodes[name].is_cut = False

    def ask(self) -> None:
        """Begin a linearizable read at the leader."""
        leads = self.raft(self.leader()).leadership
        assert leads is not None
        assert leads.reads.add(self.now_ns)
        self._step(self.leader(), lambda _: leads.begin_reads(self.now_ns))

    def forget(self, name: str) -> None:
        """Let a node's memory go of all that is committed: the ledger holds what peers lack."""
        self.raft(name).log.compact(self.raft(name).log.commit, 0)

    # --- Moving -----------------------------------------------------------------------------------

    def at(self, in_ns: int, call: Callable[..., None], *args: Any) -> None:
        heapq.heappush(self._agenda, (self.now_ns + in_ns, next(self._order), call, args))

    def _step(self, name: str, act: Callable[[Raft], list[Effect]]) -> None:
        node = self.nodes[name]
        if not node.is_up:
            return
        self._perform(name, act(node.raft))
        self._after(name, node)

    def _after(self, name: str, node: "_Node") -> None:
        raft = node.raft
        if raft.leadership is not node.led:
            node.led = raft.leadership
            if node.led is not None:
                self.reigns.append((self.now_ns, name))
                self._perform(name, raft.propose(body_of("reigns"), self.now_ns))
        raft.log.compact(raft.log.commit, limits.LOG_MEMORY_BYTES)
        while raft.leadership is not None and self.fill is not None:
            if raft.log.last.index - raft.log.commit >= limits.ENTRIES_IN_FLIGHT:
                break
            self._perform(name, raft.propose(_filling(self.fill), self.now_ns))
        if raft.leadership is not None:
            self.read += [self.now_ns - x for x, _ in raft.leadership.confirmed_reads()]  # type: ignore[operator]
        due_ns = raft.next_due_ns()
        if due_ns is not None and (node.wakes_ns is None or due_ns < node.wakes_ns):
            node.wakes_ns = max(due_ns, self.now_ns + 1000)
            self.at(node.wakes_ns - self.now_ns, self._wake, name, node.wakes_ns)

    def _wake(self, name: str, wakes_ns: int) -> None:
        node = self.nodes[name]
        if node.wakes_ns == wakes_ns:
            node.wakes_ns = None
            self._step(name, lambda raft: raft.beat(self.now_ns))

    def _perform(self, name: str, effects: Sequence[Effect]) -> None:
        for effect in effects:
            match effect:
                case Persist():
                    self._persist(name, effect)
                case Tell():
                    self._link(name, effect.peer).send(effect.message)
                case ReadEntries() if not self.checkpoint_bytes:
                    self.at(_READ_NS, self._served, name, effect)
                case ReadEntries():
                    none = ev.EntriesRead(effect.peer, effect.after_index, 0, b"", [])
                    self.at(_READ_NS, self._step, name, self._entries(none))
                case ReadChunk():
                    self.at(_READ_NS, self._step, name, self._chunk(name, effect))
                case WriteChunk():
                    self.at(_FSYNC_NS, self._step, name, self._written(effect))
                case _:
                    pass

    def _persist(self, name: str, effect: Persist) -> None:
        node = self.nodes[name]
        for x in effect.records:
            if x.kind == ENTRY:
                self._chains[x.index] = x.chain
                self._ledger[x.index] = pm.WireEntry(x.term, crc32c(x.body), x.body)
        node.serial += len(effect.records)
        node.disk_free_ns = max(node.disk_free_ns, self.now_ns) + _FSYNC_NS
        done = ev.Persisted(effect.ticket, node.serial)
        self.at(
            node.disk_free_ns - self.now_ns,
            self._step,
            name,
            lambda raft: raft.persisted(done, self.now_ns),
        )

    def _served(self, name: str, ask: ReadEntries) -> None:
        """Read from the ledger of a node, as storage/entries does."""
        raft, room = self.raft(name), ask.bytes_max
        entries: list[pm.WireEntry] = []
        index = ask.after_index + 1
        while index <= ask.through_index:
            entry = self._ledger[index]
            room -= len(entry.body) + limits.ENTRY_HEAD_BYTES
            if entries and room < 0:
                break
            entries.append(entry)
            index += 1
        term = self._ledger[ask.after_index].term if ask.after_index else 0
        place = (ask.after_index, term, self._chains[ask.after_index])
        read = ev.EntriesRead(ask.peer, *place, entries)
        self._step(name, lambda _: raft.disk_read(read, self.now_ns))

    def _entries(self, read: ev.EntriesRead) -> Callable[[Raft], list[Effect]]:
        return lambda raft: raft.disk_read(read, self.now_ns)

    def _chunk(self, name: str, ask: ReadChunk) -> Callable[[Raft], list[Effect]]:
        """Read a piece of the Checkpoint."""
        commit = self.raft(name).log.commit
        place = (commit, self._ledger[commit].term, self._chains[commit])
        total = self.checkpoint_bytes
        data = bytes(min(limits.INSTALL_CHUNK_BYTES, total - ask.offset))
        read = ev.ChunkRead(ask.peer, *place, b"content", total, ask.offset, data)
        return lambda raft: raft.disk_read(read, self.now_ns)

    def _written(self, wish: WriteChunk) -> Callable[[Raft], list[Effect]]:
        """Keep a piece of the Checkpoint, if it is the next one."""
        chunk = wish.chunk
        if chunk.offset == self._received:
            self._received += len(chunk.data)
        self.installed = self._received == chunk.total
        place = (chunk.term, chunk.index, chunk.content)
        reply = pm.ChunkReply(*place, self._received, True, chunk.round)
        written = ev.ChunkWritten(wish.peer, reply, self.installed)
        return lambda raft: raft.chunk_written(written)

    def _link(self, source: str, target: str) -> "_Link":
        pair = (source, target)
        if pair not in self._links:
            self._links[pair] = _Link(self, source, target)
        return self._links[pair]

    def arrive(self, source: str, target: str, message: pm.PeerMessage) -> None:
        ends = (self.nodes[source], self.nodes[target])
        if all(x.is_up and not x.is_cut for x in ends):
            self._step(target, lambda raft: raft.receive(source, message, self.now_ns))


class _Node:
    def __init__(self, raft: Raft) -> None:
        self.raft = raft
        self.led: object = None
        self.is_up = True
        self.is_cut = False
        self.serial = 0
        self.disk_free_ns = 0
        self.wakes_ns: int | None = None


class _Link:
    """One way from one node to another."""

    def __init__(self, world: World, source: str, target: str) -> None:
        self._world = world
        self._ends = (source, target)
        self._hurrying: deque[pm.PeerMessage] = deque()
        self._bulk: deque[tuple[pm.PeerMessage, int]] = deque()
        self._busy = False

    def send(self, message: pm.PeerMessage) -> None:
        if isinstance(message, BULK):
            self._bulk.append((message, _size_of(message)))
        else:
            self._hurrying.append(message)
        if not self._busy:
            self._next()

    def _next(self) -> None:
        self._busy = bool(self._hurrying or self._bulk)
        if self._hurrying:
            self._carry(self._hurrying.popleft(), 60)
        elif self._bulk:
            message, left = self._bulk.popleft()
            piece = min(left, _PIECE_BYTES)
            if left > piece:
                self._bulk.appendleft((message, left - piece))
            self._carry(message if left == piece else None, piece)

    def _carry(self, message: pm.PeerMessage | None, size: int) -> None:
        world = self._world
        world.carried += size
        through_ns = int(size * 8000 / world.mbit)
        world.at(through_ns, self._next)
        if message is not None:
            world.at(through_ns + world.delay_ns, world.arrive, *self._ends, message)


@cache
def _filling(size: int) -> bytes:
    return body_of("x" * size)


def _size_of(message: pm.PeerMessage) -> int:
    if isinstance(message, pm.Append):
        return 100 + sum(len(x.body) + limits.ENTRY_HEAD_BYTES for x in message.entries)
    if isinstance(message, pm.Chunk):
        return 100 + len(message.data)
    return len(wire.encode(message))
