"""What each peer of a leader is sent, in one term (R28; paper §5.3): appends, Entries that only the
ledger has, pieces of a Checkpoint.

Owns what is known of each peer (`progress`), and decides what goes to it next and what its answers
prove. What a majority has, and what follows from that, `leadership` decides.
"""

from rmf import limits
from rmf.core.effects import Effect, Note, ReadChunk, ReadEntries, Tell
from rmf.core.events import ChunkRead, EntriesRead
from rmf.core.raft import peer_messages as pm
from rmf.core.raft.contact import Rounds
from rmf.core.raft.leader_messages import LeaderMessages
from rmf.core.raft.membership import Membership
from rmf.core.raft.progress import Progress
from rmf.core.raft.raft_log import RaftLog
from rmf.core.raft.raft_values import Place, Timing

__all__ = ["Replication"]


class Replication:
    """The peers of one leadership, learners too. `wants_checkpoint`: a peer needs one, and this
    node has none."""

    def __init__(
        self, name: str, log: RaftLog, membership: Membership, speech: LeaderMessages, now_ns: int
    ) -> None:
        self.peers: dict[str, Progress] = {}
        self.wants_checkpoint = False
        self.rounds = Rounds()
        self._incarnations: dict[str, bytes] = {}  # of these
        self._name = name
        self._log = log
        self._membership = membership
        self._speech = speech
        self.sync_peers(now_ns)

    def sync_peers(self, now_ns: int) -> None:
        """Follow a change of the membership: who left is forgotten, and so is what was known of
        another incarnation under the same name."""
        others = {x.name: x.incarnation for x in self._membership.current if x.name != self._name}
        for name, _ in self._incarnations.items() - others.items():
            del self.peers[name]
        for name in sorted(others.keys() - self.peers.keys()):
            self.peers[name] = Progress(self._log.last.index + 1, now_ns)
        self._incarnations = others

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
        wire = self._log.behind(before, peer.piece_bytes)
        return [self._append(name, peer, self._log.place(before), wire, now_ns)]

    def _append(
        self, name: str, peer: Progress, before: Place, wire: list[pm.WireEntry], now_ns: int
    ) -> Tell:
        assert before.index + len(wire) <= self._log.last.index, "more is sent than there is"
        size = 0
        for entry in wire:
            size += len(entry.body)
        if peer.state == "probe" and size > limits.PROBE_BYTES_MAX:
            size, wire = 0, []  # a long one: first, whether it fits
        peer.sent(before.index + len(wire), size, now_ns)
        peer.told_commit = self._log.commit
        return Tell(name, self._speech.append(before, wire, self.rounds.newest, now_ns))

    def on_append_reply(
        self, name: str, peer: Progress, reply: pm.AppendReply, now_ns: int
    ) -> list[Effect]:
        """Learn what a peer has, or where its log may match."""
        last = self._log.last.index
        self._judge_whole(peer, whole=reply.whole)
        if not reply.whole and not reply.accepted and reply.hint < peer.match:
            peer.lost_ledger(last + 1)  # once more: what it says replaces it all
        if reply.accepted:
            peer.accepted(min(reply.compared, last), self.rounds.newest, now_ns)
            assert peer.match <= last, "a peer has more than the leader"
            if reply.compared < reply.index:
                peer.committed_to(min(reply.index, last))
            return []
        if peer.contradicts(reply.index, reply.round):
            fields = {"peer": name, "said": peer.held, "has": min(reply.hint, reply.index)}
            peer.lost_tail(last)
            return [Note("error", "peer_lost_entries", fields)]
        hint = Place(reply.hint, reply.hint_term, b"")
        compared = self._log.holds(min(hint.index, last))
        if compared:
            hint = self._log.likely_match(hint.index, hint.term)
        peer.rejected(reply.index, hint, compared=compared)
        return []

    def on_heartbeat_reply(
        self, name: str, peer: Progress, reply: pm.HeartbeatReply, timing: Timing, now_ns: int
    ) -> list[Effect]:
        """Note that a peer is in touch. In probe, one more append may go out; in replicate, it is
        asked whether all that was sent has come: an append that is lost shows nowhere else
        (raft-cases 31)."""
        self._judge_whole(peer, whole=reply.whole)
        peer.shows_life(now_ns)
        if not peer.awaits or now_ns - peer.asked_ns < timing.heartbeat_ns:
            return []
        if self._log.holds(peer.next - 1):
            peer.asked_ns = now_ns
            return [self._append(name, peer, self._log.place(peer.next - 1), [], now_ns)]
        if peer.is_silent(now_ns, timing.election_max_ns):
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
            self.wants_checkpoint = True  # asked for again in a while (see `ask_again`)
            return []
        peer.content, peer.asked_ns = event.content, now_ns
        return [Tell(event.peer, self._speech.chunk(event, self.rounds.newest))]

    def on_chunk_reply(
        self, name: str, peer: Progress, reply: pm.ChunkReply, now_ns: int
    ) -> list[Effect]:
        """Go on with the next piece, or with appends behind the Checkpoint."""
        if peer.state != "install":
            return []
        if not reply.wanted or reply.offset < 0:
            peer.installed(reply.index)
            return []
        if reply.content != peer.content or not peer.wants_piece(reply.offset, now_ns):
            return []
        return [ReadChunk(name, peer.content, peer.offset)]

    def ask_again(self, name: str, peer: Progress, now_ns: int, least_ns: int) -> list[Effect]:
        """Repeat a step of reading or installing whose answer was lost."""
        if not peer.is_overdue(now_ns, least_ns):
            return []
        peer.reading = False
        return [ReadChunk(name, peer.content, peer.offset)] if peer.state == "install" else []
