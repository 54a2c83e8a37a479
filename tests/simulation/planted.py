"""Bugs to plant: what goes wrong in factories of this kind, each as one change to one function.

Every one is a line of R2, R13, R24, R28 or R33 left out, or done in the wrong order: the corner
cases of Raft inverted, acks before fsyncs, tables that are forgotten. The simulator has to find
each of them; how many seeds it needs says `tests/simulation/found.md`. While one is planted
nothing else may run in this process.
"""

from contextlib import AbstractContextManager
from typing import Any

import attrs

from rmf import limits
from rmf.core import answers, commit, hellos, latch, linearizable_reads
from rmf.core import messages as m
from rmf.core.clock import Pace, TickClock
from rmf.core.committed_state import CommittedState
from rmf.core.effects import Tell
from rmf.core.entry import Register
from rmf.core.events import Persisted
from rmf.core.leadership_lifecycle import LeadershipLifecycle
from rmf.core.linearizable_reads import LinearizableReads
from rmf.core.live import Live
from rmf.core.producer_table import Table
from rmf.core.raft import contact, leadership, voting
from rmf.core.raft import peer_messages as pm
from rmf.core.raft.contact import Contact
from rmf.core.raft.durable import Durable
from rmf.core.raft.following import Following
from rmf.core.raft.freshness import Freshness
from rmf.core.raft.leadership import Leadership
from rmf.core.raft.membership import Membership
from rmf.core.raft.progress import Progress
from rmf.core.raft.quorum import majority
from rmf.core.raft.raft_log import RaftLog
from rmf.core.raft.raft_node import Raft
from rmf.core.raft.raft_values import HardState, Place
from rmf.core.raft.voting import Campaign, Voting
from rmf.core.recovery import Recovery
from rmf.core.reign import Reign
from rmf.testing.disk import SimulatedDisk
from rmf.testing.disk_driver import DiskDriver
from rmf.testing.options import FAULTS, Options, derived
from rmf.testing.run import run
from rmf.testing.simulated_node import SimulatedNode
from tests.planting import Change, changed, registry

__all__ = ["HARSH", "PLANTED", "SPECIAL", "Change", "bug", "life", "planted", "seeds_needed"]

PLANTED, bug = registry()


def planted(name: str) -> AbstractContextManager[None]:
    """Have this bug in the code while the block runs."""
    return changed(PLANTED[name]())


# --- Durability (R2, R13, R17) ------------------------------------------


@bug
def the_leader_counts_its_own_disk_before_the_fsync() -> list[Change]:
    append = RaftLog.append

    def buggy(self: RaftLog, term: int, body: bytes) -> Any:
        entry = append(self, term, body)
        self.durable = entry.index
        return entry

    return [(RaftLog, "append", buggy)]


@bug
def replies_leave_before_the_fsync() -> list[Change]:
    def buggy(_self: Durable, effect: Any, effects: list[Any]) -> None:
        effects.append(effect)

    return [(Durable, "after", buggy)]


@bug
def the_keeper_tells_before_the_fsync() -> list[Change]:
    begin = DiskDriver._begin

    def buggy(self: DiskDriver[Any]) -> None:
        disk = self._machine.disk
        begin(self)
        serial = disk.writing[-1].serial
        self._later(0, self._happen, Persisted(disk.ticket, serial))

    return [(DiskDriver, "_begin", buggy)]


@bug
def a_vote_is_not_persisted() -> list[Change]:
    persist = Durable.persist

    def buggy(self: Durable, entries: Any, now_ns: int) -> Any:
        voted_for, self.voted_for = self.voted_for, None
        try:
            return persist(self, entries, now_ns)
        finally:
            self.voted_for = voted_for

    return [(Durable, "persist", buggy)]


@bug
def the_own_vote_counts_before_it_is_durable() -> list[Change]:
    ask = Voting._ask_for_votes

    def buggy(self: Voting, now_ns: int, *, transfer: bool) -> Any:
        effects = ask(self, now_ns, transfer=transfer)
        assert self.campaign is not None
        for voter in self._membership.voters:
            if voter != self._name:
                effects.append(Tell(voter, self.campaign.ask(self._log.last)))
        return effects

    return [(Voting, "_ask_for_votes", buggy)]


@bug
def entries_are_applied_before_they_are_durable_here() -> list[Change]:
    return [(Raft, "applicable", property(lambda self: self.log.commit))]


@bug
def a_failed_write_is_no_reason_to_strike() -> list[Change]:
    strike = LeadershipLifecycle.strike

    def buggy(self: LeadershipLifecycle, kind: str, *args: Any, **more: Any) -> None:
        if kind != "disk":
            strike(self, kind, *args, **more)

    return [(LeadershipLifecycle, "strike", buggy)]


@bug
def a_node_on_strike_goes_on_in_raft() -> list[Change]:
    return [(Raft, "retire", lambda _self: None)]


# --- Coming back (R23, R24, R28) ------------------------------------------


@bug
def a_restart_forgets_the_vote() -> list[Change]:
    standing = Recovery.standing

    def buggy(self: Recovery, *, whole: bool = True) -> Any:
        found = standing(self, whole=whole)
        return found._replace(hard=HardState(found.hard.term, None))

    return [(Recovery, "standing", buggy)]


@bug
def a_restart_forgets_the_term() -> list[Change]:
    standing = Recovery.standing

    def buggy(self: Recovery, *, whole: bool = True) -> Any:
        found = standing(self, whole=whole)
        term = found.tail[-1].term if found.tail else found.place.term
        return found._replace(hard=HardState(term, None))

    return [(Recovery, "standing", buggy)]


@bug
def a_restart_applies_what_is_not_known_to_be_committed() -> list[Change]:
    take = Recovery.take

    def buggy(self: Recovery, record: Any) -> None:
        take(self, attrs.evolve(record, commit=record.index))

    return [(Recovery, "take", buggy)]


@bug
def a_damaged_ledger_is_cut() -> list[Change]:
    def buggy(self: SimulatedDisk, serial: int) -> bool:
        kept = [x for x in self.records if x.serial < serial]
        base = self.base
        checkpoints = [x for x in self.checkpoints if x.base.serial < serial]
        self._begin_anew(base)
        self._keep(kept)
        self.checkpoints = checkpoints
        self.written, self.last_written = dict(self.durable), self.last_durable
        return True

    return [(SimulatedDisk, "rot", buggy)]


@bug
def a_repaired_node_votes_too_early() -> list[Change]:
    standing = Recovery.standing
    return [(Recovery, "standing", lambda self, **_: standing(self, whole=True))]


@bug
def a_wiped_node_keeps_its_incarnation() -> list[Change]:
    wipe = SimulatedNode.wipe

    def buggy(self: SimulatedNode) -> None:
        incarnation = self.disk.incarnation
        wipe(self)
        self.disk.incarnation, self.founded = incarnation, True

    return [(SimulatedNode, "wipe", buggy)]


@bug
def an_installed_checkpoint_forgets_the_vote() -> list[Change]:
    install = SimulatedDisk.install

    def buggy(self: SimulatedDisk) -> bool:
        done = install(self)
        if done:
            self.hard_copy = HardState(0, None)
        return done

    return [(SimulatedDisk, "install", buggy)]


@bug
def a_checkpoint_names_another_record() -> list[Change]:
    checkpoint_of = answers.checkpoint_of

    def buggy(*args: Any) -> Any:
        effect = checkpoint_of(*args)
        return attrs.evolve(effect, head=effect.head | {"serial": effect.head["serial"] - 1})

    return [(commit, "checkpoint_of", buggy)]


@bug
def a_checkpoint_lacks_the_producers_table() -> list[Change]:
    checkpoint_of = answers.checkpoint_of

    def buggy(*args: Any) -> Any:
        return attrs.evolve(checkpoint_of(*args), producers=Table.of({}))

    return [(commit, "checkpoint_of", buggy)]


# --- Elections ------------------------------------------


@bug
def a_node_votes_for_two_candidates() -> list[Change]:
    answer = Voting.answer

    def buggy(self: Voting, peer: str, ask: Any, now_ns: int, *, sound: bool) -> Any:
        if not ask.pre and self.leader is None:
            self._durable.voted_for = None
            self._durable._dirty = True
        return answer(self, peer, ask, now_ns, sound=sound)

    return [(Voting, "answer", buggy)]


@bug
def anybodys_votes_count() -> list[Change]:
    def hear(self: Campaign, voter: str) -> None:
        self._granted.add(voter)
        self._granted.add(f"{voter} again")

    won = property(lambda self: len(self._granted) >= majority(len(self._voters)))
    return [(Campaign, "hear", hear), (Campaign, "won", won)]


@bug
def the_shorter_log_wins() -> list[Change]:
    return [(voting, "is_up_to_date", lambda _ask, _mine: True)]


@bug
def messages_of_older_terms_are_taken() -> list[Change]:
    judge = Raft._judge_term

    def buggy(self: Raft, peer: str, message: Any, now_ns: int, effects: list[Any]) -> bool:
        if message.term < self.term and isinstance(message, pm.Append) and self.leadership is None:
            return True
        return judge(self, peer, message, now_ns, effects)

    return [(Raft, "_judge_term", buggy)]


@bug
def neither_pre_vote_nor_lease() -> list[Change]:
    def campaign(self: Raft, now_ns: int, *, transfer: bool = False) -> Any:
        if not self._may_campaign:
            return []
        return self.voting.stand(now_ns, at_once=True, transfer=transfer)

    return [(Raft, "campaign", campaign), (Raft, "_holds_lease", lambda _self, _now_ns: False)]


@bug
def a_leader_without_a_majority_stays() -> list[Change]:
    return [(Contact, "has_quorum", lambda _self, _now_ns, _patience_ns: True)]


# --- Replication and commit ------------------------------------------


@bug
def an_entry_of_an_older_term_is_committed_by_counting() -> list[Change]:
    advance = Leadership.advance

    def buggy(self: Leadership, now_ns: int) -> bool:
        first, self.first_index = self.first_index, 0
        try:
            return advance(self, now_ns)
        finally:
            self.first_index = first

    return [(Leadership, "advance", buggy)]


@bug
def a_minority_commits() -> list[Change]:
    def buggy(known: Any, voters: Any) -> int | None:
        values = sorted((known[name] for name in voters if name in known), reverse=True)
        return values[max(0, majority(len(voters)) - 2)] if values else None

    return [(where, "quorum_value", buggy) for where in (contact, leadership)]


@bug
def learners_count_for_a_majority() -> list[Change]:
    quorum_value = leadership.quorum_value  # type: ignore[attr-defined]

    def buggy(known: Any, voters: Any) -> int | None:
        values = sorted(known.values(), reverse=True)
        found = quorum_value(known, voters)
        needed = majority(len(voters))
        return values[needed - 1] if len(values) >= needed else found

    return [(where, "quorum_value", buggy) for where in (contact, leadership)]


@bug
def what_was_sent_counts_as_accepted() -> list[Change]:
    accepted = Progress.accepted

    def buggy(self: Progress, index: int, round_: int, now_ns: int) -> bool:
        return accepted(self, max(index, self.next - 1), round_, now_ns)

    return [(Progress, "accepted", buggy)]


@bug
def a_duplicate_append_truncates() -> list[Change]:
    take = RaftLog._take

    def buggy(self: RaftLog, before: Place, entries: Any) -> Any:
        if self.commit <= before.index < self.last.index:
            self.truncate(before.index)
        return take(self, before, entries)

    return [(RaftLog, "_take", buggy)]


@bug
def the_entry_before_is_not_compared() -> list[Change]:
    accept = RaftLog.accept

    def buggy(self: RaftLog, before: Place, entries: Any) -> Any:
        if self.base.index <= before.index <= self.last.index:
            before = self.place(before.index)
        return accept(self, before, entries)

    return [(RaftLog, "accept", buggy)]


@bug
def a_follower_commits_what_was_not_verified() -> list[Change]:
    append = Following._append

    def buggy(self: Following, message: Any, term: int, log: RaftLog) -> Any:
        taken = append(self, message, term, log)
        log.commit_to(max(log.commit, min(message.commit, log.last.index)))
        return taken

    return [(Following, "_append", buggy)]


@bug
def a_heartbeat_commits_what_the_peer_may_not_have() -> list[Change]:
    begin_round = Leadership.begin_round

    def buggy(self: Leadership, now_ns: int) -> Any:
        effects = begin_round(self, now_ns)
        return [
            Tell(x.peer, x.message._replace(commit=self._log.commit))
            if isinstance(x, Tell) and isinstance(x.message, pm.Heartbeat)
            else x
            for x in effects
        ]

    return [(Leadership, "begin_round", buggy)]


@bug
def a_reply_acks_more_than_was_verified() -> list[Change]:
    append = Following._append

    def buggy(self: Following, message: Any, term: int, log: RaftLog) -> Any:
        taken = append(self, message, term, log)
        replies = tuple(
            x._replace(index=log.last.index) if isinstance(x, pm.AppendReply) and x.accepted else x
            for x in taken.replies
        )
        return taken._replace(replies=replies)

    return [(Following, "_append", buggy)]


# --- Members ------------------------------------------


@bug
def members_change_before_an_own_commit() -> list[Change]:
    def may(self: Raft) -> bool:
        leads = self.leadership
        return (
            leads is not None
            and leads.handover.target is None
            and (self.membership.index <= self.log.commit)
        )

    return [(Raft, "may_change_members", property(may))]


@bug
def two_changes_of_members_at_once() -> list[Change]:
    def may(self: Raft) -> bool:
        leads = self.leadership
        return leads is not None and leads.handover.target is None and leads.has_committed

    return [(Raft, "may_change_members", property(may))]


@bug
def members_are_not_rolled_back() -> list[Change]:
    return [(Membership, "roll_back", lambda _self, _last_index: False)]


@bug
def a_removed_leader_counts_itself() -> list[Change]:
    quorum_value = leadership.quorum_value  # type: ignore[attr-defined]

    def buggy(known: Any, voters: Any) -> int | None:
        mine = next(reversed(known))  # the leader's own is entered last
        return quorum_value(known, voters if mine in voters else (*voters, mine))

    return [(where, "quorum_value", buggy) for where in (contact, leadership)]


# --- Reads and displays ------------------------------------------


@bug
def a_read_waits_for_too_little() -> list[Change]:
    told = LinearizableReads.told

    def buggy(self: LinearizableReads, reply: pm.ReadReply, now_ns: int) -> Any:
        index = reply.index - 2 if reply.index > 2 else reply.index
        return told(self, reply._replace(index=index), now_ns)

    return [(LinearizableReads, "told", buggy)]


@bug
def a_follower_answers_reads_by_itself() -> list[Change]:
    ask = LinearizableReads.ask

    def buggy(self: LinearizableReads, event: Any, raft: Any, now_ns: int) -> Any:
        if raft.leadership is None and raft.leader is not None:
            self._known.append((0, event, now_ns + limits.READ_NS_MAX))
            return []
        return ask(self, event, raft, now_ns)

    return [(linearizable_reads.LinearizableReads, "ask", buggy)]


@bug
def the_live_flag_sticks() -> list[Change]:
    return [
        (Voting, "in_touch", lambda self, _now_ns, _patience_ns: self.leader is not None),
        (Freshness, "is_fresh", lambda _self, _now_ns: True),
        (Live, "until_ns", lambda _self: 2**62),
    ]


@bug
def contact_alone_makes_a_picture_live() -> list[Change]:
    def buggy(self: Freshness, _index: int, said_ns: int) -> None:
        self.fresh_ns = said_ns

    return [(Freshness, "named", buggy)]


@bug
def ends_that_are_late_cost_no_liveness() -> list[Change]:
    return [(Reign, "owed", lambda _self, _now_ns: 0)]


@bug
def a_clock_that_follows_only_goes_forward() -> list[Change]:
    def buggy(self: Pace, tick: int, boot_ns: int, period_ns: int, **_: Any) -> None:
        if self.clock is None or tick > self.clock.tick_at(boot_ns):
            self.clock = TickClock(period_ns, tick, boot_ns)

    def compare(self: Pace, tick: int, _heard: int, *rest: int, **last: Any) -> None:
        buggy(self, tick, *rest, **last)

    return [(Pace, "follow", buggy), (Pace, "compare", compare)]


# --- Reigns, ticks, producers, letters ------------------------------------------


@bug
def a_lost_reign_forgets_expiries() -> list[Change]:
    return [(Reign, "undo", lambda _self, _committed: None)]


@bug
def a_key_is_forgotten_that_a_version_in_flight_has() -> list[Change]:
    def buggy(self: CommittedState, removed: Any, in_flight: Any) -> None:
        newest = in_flight[-1].state if in_flight else self.state
        for key in removed:
            if newest.world.get(key) is None:
                newest.world.index.discard(key)

    return [(CommittedState, "forget_keys", buggy)]


@bug
def a_reign_begins_its_clock_again() -> list[Change]:
    def buggy(self: Pace, period_ns: int, last_tick: int, boot_ns: int) -> TickClock:
        self.clock = TickClock(period_ns, last_tick + 1, boot_ns)
        return self.clock

    return [(Pace, "lead", buggy)]


@bug
def unknown_ages_are_not_declared() -> list[Change]:
    accede = Reign.accede

    def buggy(self: Reign, node: str, genesis: Any, now: Any, *, bridged: bool) -> Any:
        return accede(self, node, genesis, now, bridged=True)

    return [(Reign, "accede", buggy)]


@bug
def an_epoch_is_not_raised() -> list[Change]:
    def buggy(producer: str, epoch: int, identity: str, ephemeral: bool) -> Register:
        return Register(producer, max(1, epoch - 1), identity, ephemeral)

    return [(hellos, "Register", buggy)]


@bug
def a_duplicate_has_no_known_outcome() -> list[Change]:
    outcomes = Table.outcomes

    def buggy(self: Table, name: str, first_seq: int, last_seq: int) -> Any:
        found = outcomes(self, name, first_seq, last_seq)
        return [m.Run(x.seq, x.packets, m.UNKNOWN, True, *[None] * 5) for x in found]

    return [(Table, "outcomes", buggy)]


@bug
def a_fence_holds_no_writer_back() -> list[Change]:
    stale = latch._stale

    def buggy(row: Any, age_ticks: int, period_ns: int, _term: int) -> Any:
        return stale(row[:5], age_ticks, period_ns, 0)

    return [(latch, "_stale", buggy)]


@bug
def letters_come_twice() -> list[Change]:
    letters_of = commit.letters_of  # type: ignore[attr-defined]

    def buggy(*args: Any) -> Any:
        return letters_of(*args) * 2

    return [(commit, "letters_of", buggy)]


@bug
def followers_keep_no_letters() -> list[Change]:
    letters_of = commit.letters_of  # type: ignore[attr-defined]

    def buggy(entry: Any, before: Any, term: int, node: str) -> Any:
        return letters_of(entry, before, term, node) if node == "n1" else []

    return [(commit, "letters_of", buggy)]


@bug
def a_restart_loses_letters() -> list[Change]:
    return [(Recovery, "take_letters", lambda _self: [])]


@bug
def acks_leave_before_the_commit() -> list[Change]:
    executed = Reign.executed

    def buggy(self: Reign, event: Any, now: Any) -> Any:
        effects = executed(self, event, now)
        if effects and self._in_flight and self._in_flight[-1].latched is not None:
            flight = self._in_flight[-1]
            assert flight.latched is not None
            effects += answers.acks_of(flight.latched, flight.applied)
        return effects

    return [(Reign, "executed", buggy)]


# A hard life finds bugs sooner; without a bug the same seeds pass (see test_planted).
HARSH: dict[str, Any] = {
    "seconds": 150.0,
    "fault_every_ms": 1_800.0,
    "act_every_ms": 6_000.0,
    "checkpoint_every_ms": 5_000.0,
    "packets_a_second": 12.0,
    "reads_a_second": 5.0,
    "loss": 0.02,
    "doubling": 0.03,
    "straggling": 0.01,
    "spares": 1,
    "lines": 1,
    "faults": FAULTS,
}


# What some of them need to show at all.
SPECIAL: dict[str, dict[str, Any]] = {
    "a_clock_that_follows_only_goes_forward": {"drift_ppm": 5_000},
    "a_hand_over_does_not_wait_for_the_bench": {"line_ms": 5.0, "act_every_ms": 1_000.0},
    "a_lost_reign_forgets_expiries": {
        "line_ms": 250.0,
        "nodes": 3,
        "faults": {"isolate_leader": 3.0, "cut_both_ways": 1.0, "loss": 1.0},
    },
}


def life(seed: int, name: str = "") -> Options:
    """Return the options of a seed: a hard life and a usual one take turns. One line for all: what
    it takes to find a bug shall not change with roll-outs."""
    if name in SPECIAL:
        return derived(seed, **HARSH | SPECIAL[name])
    return derived(seed, **HARSH) if seed % 2 else derived(seed, seconds=HARSH["seconds"], lines=1)


def seeds_needed(name: str, seeds_max: int) -> int | None:
    """Return which seed, from 1 on, is the first to find the bug; None: none of so many does."""
    for seed in range(1, seeds_max + 1):
        with planted(name):
            report = run(life(seed, name))
        if report.verdict == "failed":
            return seed
    return None
