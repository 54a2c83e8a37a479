"""What a node does while it leads one term: replicate, count, keep contact (R28; paper §5.3, §5.4).

Made when an election is won, dropped whole when the term ends. It decides what each peer is sent,
what is committed, whether a majority still listens, and which reads are confirmed. It persists
nothing: the leader's own disk is a voter like the others (`log.durable`).
"""

from collections.abc import Callable, Collection

from rmf import limits
from rmf.core.clock import Pace
from rmf.core.effects import Effect, Note, ReadChunk, ReadEntries, Tell
from rmf.core.events import ChunkRead, EntriesRead
from rmf.core.raft import messages as pm
from rmf.core.raft.contact import Majority, Rounds, silence_text
from rmf.core.raft.handover import Handover, heir_among
from rmf.core.raft.log import Log
from rmf.core.raft.membership import Membership
from rmf.core.raft.progress import Progress
from rmf.core.raft.quorum import quorum_value
from rmf.core.raft.reads import Reads
from rmf.core.raft.speech import Speech, as_wire
from rmf.core.raft.values import Place, Timing

__all__ = ["Leadership"]

_ALWAYS_NS = 2**62  # a node is always in touch with itself


class Leadership:
    """The leader's side of one term."""

    def __init__(
        self,
        name: str,
        term: int,
        log: Log,
        membership: Membership,
        pace: Pace,
        timing: Timing,
        now_ns: int,
    ) -> None:
        self.peers: dict[str, Progress] = {}
        self._incarnations: dict[str, bytes] = {}  # of these
        self.reads = Reads()
        self.handover = Handover(timing.election_max_ns)
        self.wants_checkpoint = False
        self.owed: Callable[[int], int] = lambda _: pm.INDEX_MAX  # `Reign.owed`, once it begins
        self._name = name
        self._log = log
        self._membership = membership
        self._speech = Speech(term, log, pace)
        self.timing = timing
        self.majority = Majority()
        self._first_index = log.last.index + 1  # of this term
        self._rounds = Rounds()
        self._beat_ns = now_ns
        self._notice_ns: int | None = None  # when followers hear of a commit all the same
        self.sync_peers(now_ns)

    # --- Peers --------------------------------------------------------------------------------

    def sync_peers(self, now_ns: int) -> None:
        """Follow a change of the membership: who left is forgotten, and so is what was known of
        another incarnation under the same name."""
        others = {x.name: x.incarnation for x in self._membership.current if x.name != self._name}
        for name, _ in self._incarnations.items() - others.items():
            del self.peers[name]
        for name in sorted(others.keys() - self.peers.keys()):
            self.peers[name] = Progress(self._log.last.index + 1, now_ns)
        self._incarnations = others
        self._judge_quorum()

    # --- Time ---------------------------------------------------------------------------------

    def next_due_ns(self) -> int | None:
        """Return when `beat` has something to do; None: alone, never."""
        dues = [self._beat_ns if self.peers else None, self._notice_ns, self.handover.due_ns]
        return min([due for due in dues if due is not None], default=None)

    def beat(self, now_ns: int) -> list[Effect]:
        """Speak to every peer if it is time to."""
        self.handover.beat(now_ns)
        if self._notice_ns is not None and now_ns >= self._notice_ns:
            self._notice_ns = None
            here = (peer for peer in self.peers.values() if peer.state == "replicate")
            if any(peer.told_commit < self._log.commit for peer in here):
                return self.begin_round(now_ns)
        return self.begin_round(now_ns) if now_ns >= self._beat_ns else []

    def begin_round(self, now_ns: int) -> list[Effect]:
        """Begin a round of contact: a heartbeat to each peer (raft-cases 65)."""
        self._beat_ns = now_ns + self.timing.heartbeat_ns
        self.majority.asked(now_ns)
        round_ = self._rounds.begin(now_ns)
        effects: list[Effect] = []
        acked = self.acked(now_ns)
        for name, peer in self.peers.items():
            commit = min(self._log.commit, peer.match)  # raft-cases 22
            peer.told_commit = max(peer.told_commit, commit)
            heartbeat = self._speech.heartbeat(commit, peer.held, acked, round_, now_ns)
            effects.append(Tell(name, heartbeat))
            effects += self._ask_again(name, peer, now_ns)
        return effects

    def acked(self, now_ns: int) -> int:
        """Return the index behind which nothing is that any client received, nor what is `owed`
        (R36). Out of touch with a majority, it is unknown: another reign may have followed."""
        if now_ns >= self.fresh_until_ns:
            return pm.INDEX_MAX
        return max(self._log.commit, self._first_index, self.owed(now_ns))

    def _ask_again(self, name: str, peer: Progress, now_ns: int) -> list[Effect]:
        """Repeat a step of reading or installing whose answer was lost."""
        if not peer.is_overdue(now_ns, self.timing.election_max_ns):
            return []
        peer.reading = False
        return [ReadChunk(name, peer.content, peer.offset)] if peer.state == "install" else []

    @property
    def fresh_until_ns(self) -> int:
        """Until then no other can reign; -1: no majority was heard."""
        fresh_ns = min(limits.LIVE_NS, self.timing.election_min_ns)
        return self.majority.until_ns(fresh_ns)

    def has_quorum(self, now_ns: int) -> bool:
        """Whether a majority may still be there (raft-cases 10)."""
        return not self.majority.is_silent(now_ns, self.timing.quorum_ns)

    def silence(self, now_ns: int) -> str:
        """Return in words who did not answer for how long."""
        contacts = {name: peer.contact_ns for name, peer in self.peers.items()}
        return silence_text(contacts, self._membership.voters, now_ns)

    def _contact(self, peer: Progress, round_: int) -> None:
        if round_ > peer.round:
            peer.round = min(round_, self._rounds.newest)
            peer.contact_ns = max(peer.contact_ns, self._rounds.begun_ns(peer.round) or 0)
            self._judge_quorum()

    def _judge_quorum(self) -> None:
        contacts = {name: peer.contact_ns for name, peer in self.peers.items()}
        contacts[self._name] = _ALWAYS_NS
        self.majority.answered(quorum_value(contacts, self._membership.voters))

    # --- Commit -------------------------------------------------------------------------------

    def advance(self, now_ns: int) -> bool:
        """Commit what a majority has on its disks, if it is of this term (paper §5.4.2); return
        whether that is news."""
        known = {name: peer.match for name, peer in self.peers.items() if peer.counts}
        known[self._name] = self._log.durable
        index = quorum_value(known, self._membership.voters)
        if index is None or index < self._first_index:
            return False
        if not self._log.commit_to(min(index, self._log.last.index)):
            return False
        if self.peers:
            # Followers hear of it with the next append, or soon.
            self._notice_ns = self._notice_ns or now_ns + limits.COMMIT_NOTICE_NS
        return True

    @property
    def has_committed(self) -> bool:
        """Whether an Entry of this term is committed: before, nothing may be read or changed
        (raft-cases 57, 64)."""
        return self._log.commit >= self._first_index

    # --- Appends ------------------------------------------------------------------------------

    def replicate(self, now_ns: int) -> list[Effect]:
        """Send every peer what its window admits."""
        effects: list[Effect] = []
        for name, peer in self.peers.items():
            while (peer.next <= self._log.last.index or peer.state == "probe") and peer.may_send:
                sent = self._send(name, peer, now_ns)
                effects += sent
                if not sent or peer.state != "replicate":
                    break
        return effects

    def _send(self, name: str, peer: Progress, now_ns: int) -> list[Effect]:
        before = peer.next - 1
        if not self._log.holds(before):
            if before > self._log.last.index:
                peer.next = self._log.last.index + 1
                return self._send(name, peer, now_ns)
            peer.read(now_ns)
            through = min(self._log.commit, self._log.durable)
            return [ReadEntries(name, before, through, peer.piece_bytes)]
        wire = as_wire(self._log.behind(before, peer.piece_bytes))
        return [self._append(name, peer, self._log.place(before), wire, now_ns)]

    def _append(
        self, name: str, peer: Progress, before: Place, wire: list[pm.WireEntry], now_ns: int
    ) -> Tell:
        size = sum(len(entry.body) for entry in wire)
        if peer.state == "probe" and size > limits.PROBE_BYTES_MAX:
            size, wire = 0, []  # a long one: first, whether it fits
        peer.sent(before.index + len(wire), size, now_ns)
        peer.told_commit = self._log.commit
        return Tell(name, self._speech.append(before, wire, self._rounds.newest, now_ns))

    def on_append_reply(self, name: str, reply: pm.AppendReply, now_ns: int) -> list[Effect]:
        """Learn what a peer has, or where its log may match."""
        peer = self.peers.get(name)
        if peer is None:
            return []
        self._contact(peer, reply.round)
        self._judge_whole(peer, whole=reply.whole)
        if not reply.whole and not reply.accepted and reply.hint < peer.match:
            peer.lost_ledger(self._log.last.index + 1)  # once more: what it says replaces it all
        if reply.accepted:
            last, newest = self._log.last.index, self._rounds.newest
            peer.accepted(min(reply.compared, last), newest, now_ns)
            if reply.compared < reply.index:
                peer.committed_to(min(reply.index, last))
            return []
        if peer.contradicts(reply.index, reply.round):
            fields = {"peer": name, "said": peer.held, "has": min(reply.hint, reply.index)}
            peer.lost_tail(self._log.last.index)
            return [Note("error", "peer_lost_entries", fields)]
        hint = Place(reply.hint, reply.hint_term, b"")
        compared = self._log.holds(min(hint.index, self._log.last.index))
        if compared:
            hint = self._log.likely_match(hint.index, hint.term)
        peer.rejected(reply.index, hint, compared=compared)
        return []

    def on_heartbeat_reply(self, name: str, reply: pm.HeartbeatReply, now_ns: int) -> list[Effect]:
        """Note that a peer is in touch. In probe, one more append may go out; in replicate, it is
        asked whether all that was sent has come: lost appends are not told (raft-cases 31)."""
        peer = self.peers.get(name)
        if peer is None:
            return []
        self._contact(peer, reply.round)
        self._judge_whole(peer, whole=reply.whole)
        peer.shows_life(now_ns)
        if not peer.awaits or now_ns - peer.asked_ns < self.timing.heartbeat_ns:
            return []
        if self._log.holds(peer.next - 1):
            peer.asked_ns = now_ns
            return [self._append(name, peer, self._log.place(peer.next - 1), [], now_ns)]
        if peer.is_silent(now_ns, self.timing.election_max_ns):
            peer.lost_link()
        return []

    def _judge_whole(self, peer: Progress, *, whole: bool) -> None:
        if not whole and peer.whole:
            peer.lost_ledger(self._log.last.index + 1)
        peer.whole = whole

    def lost_link(self, name: str) -> None:
        """The link to a peer broke."""
        peer = self.peers.get(name)
        if peer is not None:
            peer.lost_link()

    # --- Peers that are far behind --------------------------------------------------------------

    def on_entries_read(self, event: EntriesRead, now_ns: int) -> list[Effect]:
        """Send what the ledger held for a peer, or begin to install a Checkpoint there."""
        peer = self.peers.get(event.peer)
        if peer is None or not peer.reading:
            return []
        peer.reading = False
        if peer.next - 1 != event.after_index:
            return []
        if not event.entries:
            return self._install(event.peer, peer, now_ns)
        before = Place(event.after_index, event.after_term, event.after_chain)
        return [self._append(event.peer, peer, before, event.entries, now_ns)]

    def _install(self, name: str, peer: Progress, now_ns: int) -> list[Effect]:
        peer.installing(now_ns)
        return [ReadChunk(name, None, 0)]

    def on_chunk_read(self, event: ChunkRead, now_ns: int) -> list[Effect]:
        """Pass on a piece of a Checkpoint."""
        peer = self.peers.get(event.peer)
        if peer is None or peer.state != "install":
            return []
        if not event.total:
            if peer.content is not None:
                return self._install(event.peer, peer, now_ns)  # that one went; there is a newer
            self.wants_checkpoint = True  # asked for again in a while (see `_ask_again`)
            return []
        peer.content, peer.asked_ns = event.content, now_ns
        chunk = self._speech.chunk(event, self._rounds.newest)
        return [Tell(event.peer, chunk)]

    def on_chunk_reply(self, name: str, reply: pm.ChunkReply, now_ns: int) -> list[Effect]:
        """Go on with the next piece, or with appends behind the Checkpoint."""
        peer = self.peers.get(name)
        if peer is None:
            return []
        self._contact(peer, reply.round)
        if peer.state != "install":
            return []
        if not reply.wanted or reply.offset < 0:
            peer.installed(reply.index)
            return []
        if reply.content != peer.content or not peer.wants_piece(reply.offset, now_ns):
            return []
        return [ReadChunk(name, peer.content, peer.offset)]

    # --- Reads --------------------------------------------------------------------------------

    def confirmed_reads(self) -> list[tuple[object, int]]:
        """Take off the reads that a majority has confirmed, each with its index (raft-cases 65).
        Who may have forgotten a vote confirms nothing."""
        if not self.reads.waiting:
            return []
        rounds = {name: peer.round for name, peer in self.peers.items() if peer.counts}
        rounds[self._name] = self._rounds.newest
        confirmed = quorum_value(rounds, self._membership.voters)
        return self.reads.take(confirmed if confirmed is not None else -1)

    def begin_reads(self, now_ns: int) -> list[Effect]:
        """Begin the round that the reads which came lately wait for."""
        if not self.has_committed or not self.reads.bind(self._rounds.newest + 1, self._log.commit):
            return []
        return self.begin_round(now_ns)

    # --- Transfer -----------------------------------------------------------------------------

    @property
    def transfer_to(self) -> str | None:
        """Who shall lead next, or None."""
        return self.handover.target

    def transfer(self, target: str, now_ns: int) -> None:
        """Hand over to a voter once it has everything; until then no further Tick is latched."""
        self.handover.begin(target, now_ns)

    def hand_over(self) -> list[Effect]:
        """Tell the successor to stand for election, once it has everything (raft-cases 63)."""
        target = self.handover.target
        if target is None or target not in self.peers or not self.handover.ready:
            return []
        last = self._log.last.index
        if self.peers[target].match < last or self._log.durable < last:
            return []
        self.handover.told = True
        return [Tell(target, pm.CampaignNow(self._speech.term))]

    def successor(self, avoid: Collection[str] = ()) -> str | None:
        """Return the voter that should lead next (see handover), or None if no other votes."""
        peers = {name: self.peers[name] for name in self._membership.voters if name in self.peers}
        return heir_among(peers, avoid)
