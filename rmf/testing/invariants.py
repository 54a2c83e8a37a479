"""What must hold after every step of every node (faults.md §2): elections, votes, commits,
durability.

It looks only at the node that stepped, and remembers the rest by itself, across restarts. What a
node believes is compared with the simulated disks: of them all, the crashed ones too. What an
Entry holds, `audit` judges; what clients receive, `promises`.
"""

from rmf.core import events as ev
from rmf.core.arbiter import Arbiter
from rmf.core.effects import Effect, Execute, Persist, Tell
from rmf.core.entry import Member
from rmf.core.entry_kinds import MEMBERS, kind_of
from rmf.core.raft import peer_messages as pm
from rmf.core.raft.quorum import majority
from rmf.core.record import ENTRY
from rmf.testing.disk import StoredCheckpoint
from rmf.testing.entry_audit import EntryAudit
from rmf.testing.environment import Environment
from rmf.testing.simulated_node import SimulatedNode
from rmf.testing.violation import Violation

__all__ = ["NEVER_NS", "PAUSE_BEATS", "Invariants", "Seen"]

_OF_LEADER = (pm.Append, pm.Heartbeat, pm.Chunk)
_OF_FOLLOWER = (pm.AppendReply, pm.HeartbeatReply, pm.ChunkReply)
NEVER_NS = -(10**15)
PAUSE_BEATS = 3  # a leader that did not speak for so many heartbeats stood still
# A World larger than this is looked through as a whole at one Entry in so many.
_CELLS_LOOKED_AT, _SELDOM = 100, 32


class Seen:
    """What was seen of the present core of a node. `contact_ns` is when it heard its leader last,
    `replies_ns` when whom. As a leader it asked its peers at `asked_ns` last; `owing_ns` is since
    when each that has not answered was asked, again and again."""

    __slots__ = (
        "acceded_ns",
        "applied",
        "asked_ns",
        "commit",
        "contact_ns",
        "led",
        "owing_ns",
        "replies_ns",
        "striking",
        "term",
    )

    def __init__(self, core: Arbiter) -> None:
        self.term = core.raft.term
        self.commit = core.raft.log.commit
        self.applied = core.committed.index
        self.led = 0
        self.striking = False
        self.acceded_ns = self.contact_ns = self.asked_ns = NEVER_NS
        self.replies_ns: dict[str, int] = {}
        self.owing_ns: dict[str, int] = {}

    def asks(self, peer: str, now_ns: int, pause_ns: int) -> None:
        """It asks a peer. After a pause everything begins again: meanwhile it asked for nothing."""
        if now_ns - self.asked_ns > pause_ns:
            self.owing_ns.clear()
        self.asked_ns = now_ns
        self.owing_ns.setdefault(peer, now_ns)


class Invariants:
    """`leaders` are those of each term, `votes` whom each incarnation of a node voted for."""

    def __init__(
        self, env: Environment, nodes: dict[str, SimulatedNode], audit: EntryAudit
    ) -> None:
        self.leaders: dict[int, str] = {}
        self.votes: dict[tuple[bytes, int], str] = {}
        self.seen: dict[str, Seen] = {}
        self._promised: dict[bytes, int] = {}
        self._env = env
        self._nodes = nodes
        self._audit = audit
        self._books = env.books

    # --- Births ---------------------------------------------------------------------------------

    def born(self, node: SimulatedNode, core: Arbiter) -> None:
        """A core was read from the disk: it must not know less than it promised, nor more than is
        true."""
        self.seen[node.name] = Seen(core)
        books, state = self._books, core.committed
        if state.index > books.index:
            raise Violation("commit rule", f"{node.name} comes back with Entry {state.index}")
        if state.index:
            if core.raft.log.place(state.index).chain != books.chain(state.index):
                raise Violation("committed never changes", f"{node.name}: Entry {state.index}")
            if state.digest() != books.digests[state.index]:
                raise Violation("world equality", f"{node.name} comes back as another")
        promised = self._promised.get(node.disk.incarnation, 0)
        if core.raft.term < promised:
            raise Violation("terms", f"{node.name} forgot term {promised}")
        vote = self.votes.get((node.disk.incarnation, core.raft.term))
        if vote not in {None, core.raft.durable.voted_for}:
            raise Violation("one vote a term", f"{node.name} forgot that it voted for {vote}")

    def restored(self, node: SimulatedNode) -> None:
        """An older copy took the place of this node's disk: it may know less than it promised."""
        incarnation, term = node.disk.incarnation, node.disk.hard_copy.term
        self._promised[incarnation] = min(self._promised.get(incarnation, 0), term)
        self.votes = {x: who for x, who in self.votes.items() if x[0] != incarnation}

    # --- Writing and telling --------------------------------------------------------------------

    def latches(self, effects: list[Effect]) -> None:
        """Note when a Tick goes on the bench: its Entry is written when the line is done."""
        for effect in effects:
            if type(effect) is Execute:
                batch = effect.batch
                self._books.latched_ns[batch.term, batch.tick] = self._env.agenda.now_ns

    def persists(self, node: SimulatedNode, effect: Persist) -> None:
        """Note what goes to a disk."""
        disk, books = node.disk, self._books
        for draft in effect.records:
            if draft.kind == ENTRY:
                base = disk.base.place
                before = disk.written.get(draft.index - 1)
                if before is None and base.index == draft.index - 1:
                    before = base.chain
                known = books.write(draft, before or b"", self._env.agenda.now_ns)
                if known is not None and kind_of(draft.body) == MEMBERS:
                    self._check_change(node, draft.term, books.known[known.before].members_index)

    def _check_change(self, node: SimulatedNode, term: int, last_change: int) -> None:
        """A change of members needs an own-term commit, and the last change committed (R28)."""
        core = node.core
        assert core is not None
        commit = core.raft.log.commit
        if last_change > commit:
            raise Violation("one configuration", f"{node.name} makes two changes at once")
        chain = node.disk.written.get(commit)
        if chain is None or self._books.known[chain].term != term:
            raise Violation("one configuration", f"{node.name} changes members too early")

    def _vote(self, node: SimulatedNode, term: int, candidate: str) -> None:
        voter = (node.disk.incarnation, term)
        if self.votes.setdefault(voter, candidate) != candidate:
            raise Violation("one vote a term", f"{node.name} votes twice in term {term}")

    def tells(self, node: SimulatedNode, effect: Tell) -> None:
        """Hold a message to what is on the disk of who says it (R2, R13)."""
        message = effect.message
        kind = type(message)
        if self.seen[node.name].striking:
            raise Violation("strike", f"{node.name} takes part though it is on strike")
        if kind is pm.Heartbeat:
            pause_ns = PAUSE_BEATS * self._env.timing.heartbeat_ns
            self.seen[node.name].asks(effect.peer, self._env.agenda.now_ns, pause_ns)
        elif kind is pm.AppendReply:
            self._check_accepted(node, message)  # type: ignore[arg-type]
        elif kind is pm.VoteReply or kind is pm.VoteAsk:
            if message.pre:  # type: ignore[union-attr]
                return
            if kind is pm.VoteReply and not message.granted:  # type: ignore[union-attr]
                return
            candidate = effect.peer if kind is pm.VoteReply else node.name
            self._check_vote(node, message.term, candidate)

    def _check_vote(self, node: SimulatedNode, term: int, candidate: str) -> None:
        self._vote(node, term, candidate)
        self._check_striking(node, "votes")
        if node.disk.votes.get(term) != candidate:
            raise Violation("durable votes", f"{node.name} speaks of a vote not on its disk")
        if candidate != node.name:
            self._check_recency(node, term, self._nodes[candidate])
        if node.disk.repairing and candidate != node.name:
            raise Violation("repair", f"{node.name} votes though it may have forgotten a vote")
        self._promised[node.disk.incarnation] = term

    @staticmethod
    def _check_recency(voter: SimulatedNode, term: int, candidate: SimulatedNode) -> None:
        """No node gets the vote of one that has more (paper §5.4.1)."""
        raft = candidate.core.raft if candidate.core is not None else None
        if raft is None or raft.term != term or raft.voting.campaign is None:
            return  # it does not stand for election any more
        mine, theirs = voter.disk.last_written, candidate.disk.last_written
        if mine.term >= term:
            return  # a node was elected since, and this comes late
        if (theirs.term, theirs.index) < (mine.term, mine.index):
            raise Violation("log recency", f"{voter.name} votes for {candidate.name}, who has less")

    def _check_accepted(self, node: SimulatedNode, reply: pm.AppendReply) -> None:
        if not reply.accepted:
            return
        self._check_striking(node, "accepts Entries")
        disk, index = node.disk, reply.index
        chain = disk.durable.get(index)
        if index > disk.base.place.index:
            if chain is None:
                raise Violation("durable acks", f"{node.name} acks Entry {index} not on its disk")
            leader = self._nodes.get(self.leaders.get(reply.term, ""))
            core = leader.core if leader is not None else None
            if core is not None and core.raft.term == reply.term and reply.whole:
                assert leader is not None
                theirs = leader.disk.written.get(index)
                if theirs is not None and theirs != chain:
                    raise Violation("log matching", f"{node.name} acks another Entry {index}")
        if reply.whole and disk.repairing and node.core is not None and not node.core.raft.whole:
            raise Violation("repair", f"{node.name} counts before it is whole")
        self._promised[disk.incarnation] = max(self._promised.get(disk.incarnation, 0), reply.term)

    @staticmethod
    def _check_striking(node: SimulatedNode, what: str) -> None:
        fault = node.core.strike if node.core is not None else None
        if node.disk.broken or (fault is not None and fault[0] != "no_reign"):
            raise Violation("strike", f"{node.name} {what} though it is on strike")

    # --- After a step ---------------------------------------------------------------------------

    def stepped(self, node: SimulatedNode, events: list[ev.Event]) -> None:
        """Look at the node that stepped."""
        core = node.core
        if core is None:
            return
        seen, raft = self.seen[node.name], core.raft
        term = raft.term
        if term != seen.term:
            if term < seen.term:
                raise Violation("terms", f"{node.name} went back to term {term}")
            seen.term = term
            seen.contact_ns = NEVER_NS
            seen.replies_ns.clear()
            seen.owing_ns.clear()
        for event in events:
            if type(event) is ev.Heard and event.message.term == term:
                if isinstance(event.message, _OF_LEADER):
                    seen.contact_ns = self._env.agenda.now_ns
                elif isinstance(event.message, _OF_FOLLOWER):
                    seen.replies_ns[event.peer] = self._env.agenda.now_ns
                    seen.owing_ns.pop(event.peer, None)
        if raft.leadership is not None and seen.led != term:
            seen.led, seen.acceded_ns = term, self._env.agenda.now_ns
            self._acceded(node, core)
        commit = raft.log.commit
        if commit != seen.commit:
            self._committed(node, seen.commit, commit)
            seen.commit = commit
        fault = core.strike
        seen.striking = node.disk.broken or (fault is not None and fault[0] != "no_reign")
        applied = core.committed.index
        if applied != seen.applied:
            self._applied(node, core, seen.applied, applied)
            seen.applied = applied

    def _acceded(self, node: SimulatedNode, core: Arbiter) -> None:
        """A node leads: no other led this term, a majority voted for it, and it has all."""
        term, books = core.raft.term, self._books
        if self.leaders.setdefault(term, node.name) != node.name:
            raise Violation("election safety", f"two leaders in term {term}")
        self._env.count("reign")
        self._check_vote(node, term, node.name)
        disk, index = node.disk, books.index
        if index > disk.base.place.index and disk.written.get(index) != books.chain(index):
            raise Violation("leader completeness", f"{node.name} lacks Entry {books.index}")
        accession = books.known[disk.last_written.chain]
        ahead = books.known.get(accession.before, accession)
        voters = {x.incarnation for x in ahead.members if x.voter}
        votes = sum(self.votes.get((x, term)) == node.name for x in voters)
        if votes < majority(len(voters)):
            raise Violation("election safety", f"{node.name} leads with {votes} votes")

    def _committed(self, node: SimulatedNode, before: int, commit: int) -> None:
        books, disk = self._books, node.disk
        if commit < before:
            raise Violation("committed never changes", f"{node.name} takes back a commit")
        base = disk.base.place
        chain = disk.written.get(commit) or (base.chain if base.index == commit else None)
        if chain is None:
            raise Violation("commit rule", f"{node.name} commits {commit} and has it not")
        if commit <= books.index:
            if chain != books.chain(commit):
                raise Violation("committed never changes", f"{node.name}: another {commit}")
            return
        entries = books.line_to(chain)
        self._check_quorum(node, commit, chain)
        for known in entries:
            books.enter(known, self._env.agenda.now_ns)
            self._audit.take(known)
        self._env.trace(chain)

    def _check_quorum(self, node: SimulatedNode, commit: int, chain: bytes) -> None:
        """Hold a commit to the disks: a majority of them has the Entry, and the newest that is
        counted is of the leader's own term."""
        term = self._books.known[chain].term
        if self.leaders.get(term) != node.name or self.seen[node.name].led != term:
            led = self.seen[node.name].led
            raise Violation(
                "commit rule", f"{node.name}, leader of term {led}, counts {commit} of term {term}"
            )
        last = self._books.known[node.disk.last_written.chain]
        members = [last.members]
        now_ns = self._env.agenda.now_ns
        while last.members_index > commit and last.written_ns == now_ns:
            last = self._books.known[last.before]  # it was maybe written behind this commit
        members.append(last.members)
        if not any(self._is_held(x, commit, chain) for x in members):
            raise Violation("commit rule", f"{node.name}: no majority has Entry {commit}")

    def _is_held(self, members: tuple[Member, ...], index: int, chain: bytes) -> bool:
        voters = {x.incarnation for x in members if x.voter}
        disks = [x.disk for x in self._nodes.values()] + self._env.ghosts
        held = sum(x.promised(index, chain) for x in disks if x.incarnation in voters)
        return held >= majority(len(voters))

    def _applied(self, node: SimulatedNode, core: Arbiter, before: int, applied: int) -> None:
        books = self._books
        if applied < before or applied > books.index or applied > core.raft.log.commit:
            raise Violation("commit rule", f"{node.name} applies {applied}")
        if not node.disk.holds(applied, books.chain(applied)):
            raise Violation("durable acks", f"{node.name} applies {applied} before it is durable")
        if core.committed.digest() != books.digests[applied]:
            raise Violation("world equality", f"{node.name} differs at Entry {applied}")
        world = core.committed.world
        if len(world) > _CELLS_LOOKED_AT and applied % _SELDOM:
            return
        if sum(1 for _ in world.scan()) != len(world):
            raise Violation("whole pictures", f"{node.name} lost a key of Entry {applied}")

    # --- Checkpoints ----------------------------------------------------------------------------

    def checkpointed(self, node: SimulatedNode, found: StoredCheckpoint) -> None:
        """A Checkpoint must stand where history stands, with the serial of its Entry's record."""
        base = found.base
        index = base.place.index
        if base.place.chain != self._books.chain(index):
            raise Violation("checkpoints", f"{node.name}: one of another Entry {index}")
        record = node.disk.entry(index)
        if record is not None and record.serial != base.serial:
            raise Violation(
                "checkpoints", f"{node.name} calls record {record.serial} {base.serial}"
            )
