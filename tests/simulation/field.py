"""Faults that were seen in the field, planted again: what was wrong is put back, a function at a
time (findings of the second round, R46).

They are about size, time and less than was promised: steps that cost the World, links that are
slow, clocks that drift, drives that lie, names that are forgotten. Most need a life of their own to
show at all (see rmf/testing/lives). `found.md` says how soon each is found, and what can't be met
here.
"""

from heapq import heappush
from typing import Any

import attrs

from rmf import limits
from rmf.client.producer import ProducerLog
from rmf.core import commit, committed_state, hellos, reign
from rmf.core.clock import Pace, TickClock
from rmf.core.delta import Delta
from rmf.core.entry import Accession
from rmf.core.expiring import Expiring
from rmf.core.raft.flow import Flow
from rmf.core.raft.handover import Handover
from rmf.core.raft.presence import Presence
from rmf.core.raft.progress import Progress
from rmf.core.shelf import Shelf
from rmf.core.world import KeyIndex
from rmf.errors import Refused
from rmf.testing import rebirth, wires
from rmf.testing.lives import LIVES
from tests.simulation.planted import SPECIAL, Change, bug

__all__ = ["OF_THEIR_OWN"]

OF_THEIR_OWN: dict[str, dict[str, Any]] = {
    "an_unknown_age_arms_every_cell": LIVES["age_unknown"],
    "what_went_meanwhile_is_taken_out_at_once": LIVES["crowded"],
    "a_checkpoint_is_begun_with_all_of_the_table": LIVES["crowded"],
    "a_delta_is_made_in_one_piece": LIVES["crowded"],
    "ends_of_cells_keep_packets_out": LIVES["ending"],
    "a_tail_that_was_lost_is_not_missed": LIVES["lying"],
    "as_much_is_in_flight_as_a_window_of_bytes_holds": LIVES["narrow"],
    "heartbeats_wait_behind_entries": LIVES["narrow"],
    # Twice the drift shows it in half the time, which is most of what this search costs.
    "the_fastest_clock_is_right": LIVES["drifting"]
    | {"drift_ppm": 10_000, "quiet_seconds": 300.0, "seconds": 330.0},
    "who_removed_itself_does_not_stand": LIVES["two"],
    "votes_and_acks_count_by_name": LIVES["five"],
    "a_hand_over_does_not_wait_for_the_bench": LIVES["handing_over"],
    "an_epoch_comes_back": LIVES["few_places"],
    "who_was_forgotten_sends_again": LIVES["few_places"],
    "a_name_that_is_kept_becomes_ephemeral": LIVES["few_places"],
}
SPECIAL.update(OF_THEIR_OWN)


# --- Steps that cost the World ------------------------------------------


@bug
def an_unknown_age_arms_every_cell() -> list[Change]:
    """C1."""

    def armed_at_once(apply: Any) -> Any:
        def buggy(state: Any, entry: Any, term: int, index: int, shelf: Shelf) -> Any:
            if isinstance(entry.books, Accession) and entry.books.age_unknown:
                for key, cell in state.world.cells.items():
                    if cell.expires:
                        shelf.arm(key, entry.tick)
            return apply(state, entry, term, index, shelf)

        return buggy

    return [(x, "apply", armed_at_once(vars(x)["apply"])) for x in (reign, committed_state)]


@bug
def what_went_meanwhile_is_taken_out_at_once() -> list[Change]:
    """H1."""

    def buggy(self: KeyIndex, pin: int) -> None:
        del self._pins[pin]
        self.tidy(len(self._gone))

    return [(KeyIndex, "unpin", buggy)]


@bug
def a_delta_is_made_in_one_piece() -> list[Change]:
    """M2."""

    def at_once(steps: Any) -> Any:
        def buggy(*args: Any) -> Any:
            found = list(steps(*args))
            yield found[-1] if found else None

        return buggy

    return [(Delta, "gather", at_once(Delta.gather)), (Delta, "piece", at_once(Delta.piece))]


@bug
def ends_of_cells_keep_packets_out() -> list[Change]:
    """M5."""
    latch = Expiring.latch

    def buggy(self: Expiring, *args: Any, **more: Any) -> Any:
        ends, packets_may_come = latch(self, *args, **more)
        return ends, packets_may_come and not ends

    return [(Expiring, "latch", buggy)]


@bug
def a_checkpoint_is_begun_with_all_of_the_table() -> list[Change]:
    """H2."""
    checkpoint_of = commit.checkpoint_of  # type: ignore[attr-defined]

    def buggy(*args: Any) -> Any:
        effect = checkpoint_of(*args)
        rows = sorted(effect.producers.rows.items())
        table = [[name, *row[:5], [list(run) for run in row.runs]] for name, row in rows]
        return attrs.evolve(effect, head=effect.head | {"table": table})

    return [(commit, "checkpoint_of", buggy)]


# --- Memory ------------------------------------------


@bug
def a_shelf_keeps_what_is_gone() -> list[Change]:
    """C2: a node that follows never looks through its shelf."""

    def forgets_nothing(*_args: Any) -> None:
        return None

    return [(Shelf, "disarm", forgets_nothing), (Shelf, "tend", forgets_nothing)]


@bug
def a_cell_that_is_written_sooner_is_armed_twice() -> list[Change]:
    """M1: what it was armed for before stays until its time comes."""
    take_off = Shelf._take_off

    def buggy(self: Shelf, key: str, at: int) -> None:
        take_off(self, key, at)
        heappush(self._near, (at, key))

    return [(Shelf, "_take_off", buggy)]


# --- Slow links ------------------------------------------


@bug
def as_much_is_in_flight_as_a_window_of_bytes_holds() -> list[Change]:
    """H7, the one half of it."""
    return [(Flow, "has_room", property(lambda self: self.bytes < limits.PEER_WINDOW_BYTES))]


@bug
def heartbeats_wait_behind_entries() -> list[Change]:
    """H7, the other half."""
    return [(wires, "is_bulk", lambda _message: True)]


# --- Time ------------------------------------------


@bug
def the_fastest_clock_is_right() -> list[Change]:
    """H4."""

    def hear(self: Pace, tick: int, boot_ns: int, period_ns: int, *, bridged: bool) -> None:
        if not bridged:
            self.reach(tick)
        elif self.clock is None or tick > self.clock.tick_at(boot_ns):
            self.clock = TickClock(period_ns, tick, boot_ns)

    def compare(self: Pace, tick: int, _heard: int, *args: int, bridged: bool) -> None:
        hear(self, tick, *args, bridged=bridged)

    return [(Pace, "follow", hear), (Pace, "compare", compare)]


# --- Drives ------------------------------------------


@bug
def a_tail_that_was_lost_is_not_missed() -> list[Change]:
    """H5, and U3 for as long as nobody else lost anything: what a peer said to have is believed for
    ever, whatever it says it has."""
    held = property(lambda _self: 0)
    return [(Progress, "held", held), (Progress, "contradicts", lambda *_args: False)]


# --- Members ------------------------------------------


@bug
def who_removed_itself_does_not_stand() -> list[Change]:
    """H6."""
    return [(Presence, "may_stand", Presence.votes)]


@bug
def votes_and_acks_count_by_name() -> list[Change]:
    """H3."""

    def counts(self: Presence, peer: str) -> bool:
        return self._membership.member(peer) is not None

    def loaded(*args: Any) -> Any:
        state = state_of(*args)
        return attrs.evolve(state, membership=state.index)  # a Checkpoint's, not its Entry's

    state_of = rebirth.state_of  # type: ignore[attr-defined]
    return [
        (Presence, "counts", counts),
        (Presence, "replaced", property(lambda _self: False)),
        (rebirth, "state_of", loaded),
    ]


@bug
def a_hand_over_does_not_wait_for_the_bench() -> list[Change]:
    """M6."""

    def ready(self: Handover) -> bool:
        return self.target is not None and not self.told

    return [(Handover, "ready", property(ready))]


# --- Exactly once, and forgotten names ------------------------------------------


@bug
def an_epoch_comes_back() -> list[Change]:
    register = hellos._register

    def buggy(joined: Any, row: Any, hellos_: Any, latched: Any) -> None:
        register(joined, row, hellos_, latched)
        if row is None:
            joined, found = hellos_[joined.producer]
            hellos_[joined.producer] = joined, found._replace(epoch=1)

    return [(hellos, "_register", buggy)]


@bug
def who_was_forgotten_sends_again() -> list[Change]:
    def buggy(self: ProducerLog, _epoch: int, last_seq: int) -> None:
        if last_seq + 1 < self._oldest:
            raise Refused("forgotten", "what was acked")

    no_claim = property(lambda _self: 0)
    return [(ProducerLog, "_check_history", buggy), (ProducerLog, "claim", no_claim)]


@bug
def a_name_that_is_kept_becomes_ephemeral() -> list[Change]:
    register = hellos._register

    def buggy(joined: Any, row: Any, hellos_: Any, latched: Any) -> None:
        register(joined, row, hellos_, latched)
        joined, found = hellos_[joined.producer]
        hellos_[joined.producer] = joined, found._replace(ephemeral=joined.ephemeral)

    return [(hellos, "_register", buggy)]


@bug
def whatever_is_refused_frees_its_seq() -> list[Change]:
    refused = ProducerLog.refused

    def buggy(self: ProducerLog, refuse: Any, now_ns: int, jitter: float) -> None:
        refused(self, refuse, now_ns, jitter)
        free = [seq for seq in self._unacked if refuse.seq <= seq <= self._sent]
        rows = [self._unacked[seq] for seq in free]
        for seq, (row, born_ns) in zip(free, rows[1:] + rows[:1], strict=True):
            self._unacked[seq] = [row[0], seq, *row[2:]], born_ns

    return [(ProducerLog, "refused", buggy)]
