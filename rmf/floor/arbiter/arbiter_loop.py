"""The loop around the Arbiter core: events in, effects performed (R13, R14).

It waits for an event, drains what else is there, steps the core, performs the effects in order. It
decides nothing and never awaits a send; what `WouldBlock` means for each door says floor/doors.

Errors: any exception ends the reign; the supervisor seals what was in hand, discards the core and
has it loaded from the disk again (R15). Answers doors are closed on the way out, so that every
client of the lost core learns that it must connect again.
Shutdown: a StopAsked event; the loop returns after Stopped, or with the wish to be loaded again.
"""

import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Protocol

import trio

from rmf import limits
from rmf.core import events as ev
from rmf.core.arbiter import Arbiter
from rmf.core.effects import (
    Answer,
    Batch,
    Broadcast,
    Close,
    DryRun,
    Effect,
    Execute,
    LinkPeers,
    MarkWhole,
    Note,
    Persist,
    Publish,
    ReadChunk,
    ReadEntries,
    Reload,
    RunAgain,
    Stopped,
    StoreLetters,
    Tell,
    WriteCheckpoint,
    WriteChunk,
)
from rmf.floor import log
from rmf.floor.arbiter.clients import Clients
from rmf.floor.arbiter.in_progress import packets_among, packets_on
from rmf.floor.arbiter.peers import Peers
from rmf.floor.arbiter.steps import StepWatch
from rmf.floor.asking import answer
from rmf.floor.displays.news import News
from rmf.floor.doors import Doors
from rmf.floor.instruments import Instruments
from rmf.floor.items import (
    CatchUpItem,
    Closed,
    EventItem,
    FactsAsked,
    Knock,
    Linked,
    Opened,
    Roster,
)
from rmf.floor.supervisor import InProgress

__all__ = ["BlockingRunner", "run"]


class BlockingRunner(Protocol):
    """What runs a line in this very process, and holds the loop up meanwhile."""

    def run(self, batch: Batch) -> ev.Executed:
        """Run a batch; see rmf/line/inline."""
        ...


async def run(
    core: Arbiter,
    doors: Doors,
    runner: BlockingRunner | None,
    in_progress: InProgress,
    now: Callable[[], ev.Now],
    instruments: Instruments,
    clients: Clients | None = None,
    peers: Peers | None = None,
) -> Reload | None:
    """Drive the core until it has stopped (None) or has to be loaded again. Without a `runner` the
    bench door leads to a glove box, whose Executed comes as an event. The `standing`
    door hears once it reigns over all that there was before. `clients` and `peers` are those that
    the core before left."""
    clients, peers = clients or Clients(), peers or Peers()
    loop = _Loop(core, doors, runner, in_progress, now, instruments, clients, peers)
    try:
        loop.start()
        while not loop.is_over:
            loop.turn(await loop.wait())
        return loop.reload
    finally:
        loop.close()


class _Loop:
    """The state of the loop: the connections' doors and the effects still to perform."""

    def __init__(
        self,
        core: Arbiter,
        doors: Doors,
        runner: BlockingRunner | None,
        in_progress: InProgress,
        now: Callable[[], ev.Now],
        instruments: Instruments,
        clients: Clients,
        peers: Peers,
    ) -> None:
        self.reload: Reload | None = None
        self._stopped = False
        self._says_reign = True
        self._instruments = instruments
        self._turned_s = self._look_s = 0.0
        self._proposed: deque[tuple[int, float]] = deque(maxlen=limits.VOID_ENTRIES_MAX)
        self._core, self._doors, self._runner = core, doors, runner
        self._in_progress = in_progress
        self._now = now
        self._unpublished: list[Publish] = []
        self._clients, self._peers = clients, peers
        self._watch = StepWatch()
        self._intake_left = self._says_due = True

    @property
    def is_over(self) -> bool:
        """Whether the core has stopped, or has to be loaded again."""
        return self._stopped or self.reload is not None

    # --- Turns --------------------------------------------------------------------------------

    def start(self) -> None:
        """Let the core begin."""
        self._perform_all(self._core.start(self._now()))

    def turn(self, events: list[ev.Event]) -> None:
        """Step the core with what happened, and do what it wants."""
        if not (events or self._core.has_more):
            self._say_due()
            return  # a beat, and nothing was due
        self._watch.begin()
        self._in_progress.hold(partial(packets_among, events))
        effects = self._core.step(events, self._now())
        self._watch.decided()
        self._perform_all(effects)
        self._in_progress.free()
        self._publish()
        self._say_due()
        self._look()
        if self._watch.end(self._instruments.steps):
            self._watch.tell(events, effects, len(self._core.committed.world))
        if self._says_reign and self._core.has_acceded:
            self._says_reign = False
            self._doors.standing.put("reigns")

    # --- Waiting ------------------------------------------------------------------------------

    @property
    def _has_more(self) -> bool:
        """Whether there is something to do without waiting for an event."""
        return self._core.has_more or (self._intake_left and self._core.takes_in)

    async def wait(self) -> list[ev.Event]:
        """Wait until something happens; return it, with all else that is there already. Empty
        after a Beat with nothing to do."""
        events: list[ev.Event] = []
        if self._has_more:
            await trio.lowlevel.checkpoint()
        else:
            self._take(await self._doors.events_out.receive(), events)
        for _ in range(limits.EVENTS_MAX):
            try:
                self._take(self._doors.events_out.receive_nowait(), events)
            except trio.WouldBlock:
                break
        self._take_intake(events)
        return events

    def _take_intake(self, events: list[ev.Event]) -> None:
        self._turned_s = self._instruments.pulse.beat()
        queue = self._core.sessions.queue
        packets = queue.packets
        self._intake_left = True  # what comes to an empty door knocks (see intake_end)
        for _ in range(limits.INTAKE_A_STEP):
            if packets >= queue.depth_packets_max or not self._core.takes_in:
                break
            try:
                item = self._doors.intake_out.receive_nowait()
            except trio.WouldBlock:
                self._intake_left = False
                break
            events.append(item)
            packets += len(item.rows) if isinstance(item, ev.Offered) else 1
            if isinstance(item, ev.Joined) and item.connection not in self._clients:
                events.append(ev.Lost(item.connection))  # it was closed while HELLO waited here

    def _publish(self) -> None:
        if self._unpublished:
            News.of(self._unpublished).put_into(self._doors.publications)
            self._unpublished = []

    def _say_due(self) -> None:
        if self._says_due:
            self._says_due = False
            self._doors.due.put(self._core.next_due_ns())

    def _is_due(self) -> bool:
        return (due_ns := self._core.next_due_ns()) is not None and due_ns <= self._now().boot_ns

    def _take(self, item: EventItem, events: list[ev.Event]) -> None:
        match item:
            case Knock():
                return
            case ev.Beat():
                self._says_due = True
                if self._is_due():
                    events.append(item)
            case FactsAsked():
                answer(item.reply, self._core.status(self._now()))
            case ev.LettersStored():
                self._instruments.owed.letters -= item.letters
                events.append(item)
            case ev.PeerMet():
                self._peers.meet(item)
                events.append(item)
            case ev.PeerLost():
                self._peers.part(item.peer)
                events.append(item)
                self._says_due = True  # an election may be due sooner than the beats know
            case Opened():
                self._clients.open(item.connection, item.answers)
            case Linked():
                self._peers.link(item)
            case Closed():
                self._clients.close(item.connection)
                events.append(ev.Lost(item.connection))
            case _:
                events.append(item)

    # --- Performing ----------------------------------------------------------------------------

    def _perform_all(self, effects: list[Effect]) -> None:
        """Perform effects until there are none; a batch that was run leads to more of them."""
        while effects:
            executed: list[ev.Event] = []
            for effect in effects:
                if isinstance(effect, Execute) and self._runner is not None:
                    self._in_progress.hold(partial(packets_on, effect.batch))
                    began = time.perf_counter()
                    executed.append(self._runner.run(effect.batch))
                    self._instruments.execute.observe(time.perf_counter() - began)
                else:
                    self._perform(effect)
            effects = self._core.step(executed, self._now()) if executed else []

    def _perform(self, effect: Effect) -> None:
        match effect:
            case Persist():
                self._doors.ledger.send_nowait(effect)
                if self._core.reigns:
                    self._proposed.append((effect.records[-1].index, time.perf_counter()))
            case Tell():
                self._peers.tell(effect.peer, effect.message)
            case Execute():
                self._doors.bench.put(effect.batch)
            case RunAgain() | DryRun():
                self._lend(effect)
            case Answer():
                self._clients.answer(effect.connection, effect.messages)
            case Broadcast():
                self._clients.answer_all(effect.message)
            case Close():
                self._clients.close(effect.connection)
            case Publish():
                self._unpublished.append(effect)
                self._note_committed(effect.index)
            case StoreLetters():
                self._doors.letters.send_nowait(effect)
                self._instruments.owed.letters += len(effect.letters) + len(effect.acts)
                self._instruments.bagged.count(letter.reason for letter in effect.letters)
            case ReadEntries() | ReadChunk() | WriteChunk() | MarkWhole():
                self._wish(effect)
            case LinkPeers():
                named = self._core.raft.membership
                self._doors.membership.put(Roster(effect.members, named.admitted, named.index))
            case Reload():
                self.reload = effect
            case WriteCheckpoint():
                self._doors.wish_for(effect)
            case Note():
                log.note(effect.level, effect.event, **effect.fields)
            case Stopped():
                self._stopped = True

    def _note_committed(self, index: int) -> None:
        while self._proposed and self._proposed[0][0] <= index:
            began = self._proposed.popleft()[1]
            self._instruments.commit.observe(time.perf_counter() - began)

    def _lend(self, effect: RunAgain | DryRun) -> None:
        """Hand over what pins a World's index; where there is no room, the pin is taken off."""
        audits = isinstance(effect, RunAgain)
        door: trio.MemorySendChannel[Any] = self._doors.audits if audits else self._doors.dry_runs
        try:
            door.send_nowait(effect)
        except trio.WouldBlock:
            effect.world.index.unpin(effect.pin)
            if audits:
                self._instruments.audits.skip("full")

    def _wish(self, effect: CatchUpItem) -> None:
        with suppress(trio.WouldBlock):  # the core asks again
            self._doors.catch_up.send_nowait(effect)

    def _look(self) -> None:
        """Let the instruments see who reigns, a few times per second."""
        if self._turned_s < self._look_s:
            return
        self._look_s = self._turned_s + limits.LOOK_S
        self._instruments.look(self._core, self._turned_s)

    def close(self) -> None:
        """Publish the rest. A core that is read again finds the clients that this one kept; else
        all of them are gone: what they were promised is void."""
        self._publish()
        if self.reload is None:
            self._clients.close_all(told=self._stopped)
