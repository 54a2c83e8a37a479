"""What a leader knows of one peer, and what that allows it to send next (R28).

    probe       it is not known what matches: one short append at a time, until one is accepted
    replicate   what matches is known: appends run ahead, within what is through soon (see flow)
    install     nothing holds the next Entries any more: a Checkpoint is sent, piece by piece

In probe and replicate the next Entries may be `reading`: no longer in memory, but in the ledger.

Pure bookkeeping: it makes no message. Invariants: 0 <= match < next; match falls only if the peer
says that it lost its ledger (`whole` False), or is caught having less than it said.
"""

from typing import Literal

from rmf import limits
from rmf.core.raft.flow import Flow
from rmf.core.raft.raft_values import Place

__all__ = ["Progress"]

State = Literal["probe", "replicate", "install"]


class Progress:
    """One peer. `contact_ns`: when the newest round that it answered was begun (raft-cases 66);
    `told_commit`: the highest commit that was sent to it."""

    def __init__(self, next_index: int, now_ns: int) -> None:
        self.state: State = "probe"
        self.match = 0
        self.next = next_index
        self.whole = True
        self._said = 0  # what it said to have, and has not: until it has as much as is `_owed`
        self._owed = 0
        self._looked_at = 0  # where it was to be compared last
        self._match_round = 0  # an append of a later round was sent when `match` was known
        self.paused = False  # in probe: an append is under way
        self.reading = False
        self.contact_ns = now_ns
        self.round = 0
        self.told_commit = 0
        self.content: bytes | None = None  # in install: of the Checkpoint being sent
        self.offset = 0
        self.asked_ns = 0  # when the last step of reading or installing, or the last check, began
        self._stride = 0
        self._piece_bytes = limits.APPEND_BYTES_MAX
        self._unanswered = False  # Entries were sent, and nothing was accepted since
        self._again_ns = 0  # in probe: when a sign of life lets another one out
        self._patience_ns = limits.PROBE_AGAIN_NS
        self._step_ns = 0  # pause before such a step is repeated
        self._piece_ns = 0  # when a piece of the Checkpoint was asked for first
        self._flow = _flow()
        self._heard_ns = now_ns  # when something under way was answered, or began to be
        self._silent_ns = 0  # how long nothing was, before all was taken for lost

    @property
    def may_send(self) -> bool:
        """Whether an append may go out now (raft-cases 31)."""
        if self.reading:
            return False
        if self.state == "probe":
            return not self.paused
        return self.state == "replicate" and (
            self._flow.count < limits.PEER_APPENDS_IN_FLIGHT and self._flow.has_room
        )

    @property
    def piece_bytes(self) -> int:
        """How many bytes of Entries an append may hold now; in replicate, a longer Entry alone."""
        most = limits.PROBE_BYTES_MAX if self.state == "probe" else limits.APPEND_BYTES_MAX
        return min(self._piece_bytes, most)

    def sent(self, last_index: int, size: int, now_ns: int) -> None:
        """Note an append with Entries up to `last_index`, or with none."""
        self._unanswered = self._unanswered or size > 0
        if self.state == "probe":
            self.paused = True
            self._flow.forget()
            again = self._again_ns > 0
            self._again_ns = now_ns + self._patience_ns
            self._patience_ns = min(2 * self._patience_ns, limits.PROBE_AGAIN_NS_MAX)
            if again:
                return  # which of them is answered is unknown
        elif last_index < self.next:
            return
        else:
            self.next = last_index + 1
        if not self._flow.count:
            self._heard_ns = now_ns
        self._flow.sent(last_index, size, now_ns)

    def shows_life(self, now_ns: int) -> None:
        """It answered a heartbeat, which overtakes what is long: a probe may still be under way, so
        that another one goes out once this one ought to have been answered, or never left."""
        if now_ns >= self._again_ns:
            self.paused = False

    @property
    def counts(self) -> bool:
        """Whether what it has counts for a majority: it remembers all that it ever said."""
        return self.whole and self.match >= self._owed

    @property
    def held(self) -> int:
        """What it said to have on its disk (R28): it hears that, and knows if it has less."""
        return max(self.match, self._said)

    def contradicts(self, index: int, round_: int) -> bool:
        """Whether a mismatch at `index`, in answer to an append of that round, proves that the peer
        lost what it had said: it was sent when that was known already (raft-cases 28)."""
        return index <= self.match and round_ > self._match_round

    def accepted(self, index: int, round_: int, now_ns: int) -> bool:
        """The peer has everything up to `index` on its disk; return whether that is news. `round_`
        is the newest."""
        self._flow.came(index, now_ns)
        self._heard_ns = now_ns
        if self._unanswered:
            self._unanswered = False
            self._piece_bytes = min(2 * self._piece_bytes, limits.APPEND_BYTES_MAX)
        news = index > self.match
        if news:
            self._silent_ns = 0
            self.match, self._match_round = index, round_
            if index >= self._owed:
                self._owed = self._said = 0
        self.next = max(self.next, index + 1)
        if self.state != "replicate" and (news or index + 1 >= self.next):
            self._become("replicate")  # it caught up, by itself even (raft-cases 51)
            self.next = self.match + 1
            self._stride = 0
        assert self.match < self.next, "what it has would be sent again"
        return news

    def rejected(self, index: int, hint: Place, *, compared: bool = True) -> bool:
        """The peer's Entry `index` does not match, and `hint` is the last one that may; return
        whether that is news and not an answer to something older (raft-cases 28). If the hint could
        not be `compared` with this log, twice as many Entries are left out each time."""
        if self.state == "replicate":
            if not self.match < index < self.next:
                return False
        elif self.state != "probe" or index != self.next - 1:
            return False
        before = self.next
        self._become("probe")
        back = 0 if compared else self._stride
        self._stride = max(1, 2 * back)
        self.next = max(self.match + 1, min(index, hint.index + 1) - back)
        assert self.match < self.next, "what it has would be sent again"
        self.paused = self.next >= before  # no progress: once for each sign of life
        return True

    def committed_to(self, index: int) -> None:
        """It has Entries that are committed up to `index`, and could not compare them: what it was
        sent is far behind, or nothing was since its process began. Look there next; and there again
        with each sign of life, but while what stands there is read, or a Checkpoint takes its
        place, nothing else is begun: it says so with each heartbeat."""
        if self.state == "install" or (self.reading and self.next > index):
            return
        self.next = max(self.next, index + 1)
        self._become("probe")
        self.paused = self._looked_at == self.next
        self._looked_at = self.next

    def lost_ledger(self, next_index: int) -> None:
        """The peer set its ledger aside: all it had said of it is void (raft-cases 29, R24)."""
        self.match = self._owed = self._said = 0
        self.whole = False
        self.next = next_index
        self._become("probe")

    def lost_tail(self, last_index: int) -> None:
        """The peer has less than it said, and does not know it: it does not count until it has all
        that there is now."""
        self._said, self._owed = self.held, last_index
        self.match = 0
        self.next = last_index + 1
        self._become("probe")

    def lost_link(self) -> None:
        """What was on its way is lost: probe again, from what matches where that is known, else
        from where it was looked for. If Entries went under, the next append has half as many: a
        frame that the peer does not take, or that takes longer than the link lasts, is not sent
        again unchanged."""
        if self._unanswered:
            self._unanswered = False
            self._piece_bytes = max(1, self._piece_bytes // 2)
        self._flow = _flow()
        if self.state == "replicate":
            self.next = self.match + 1
        if self.state != "install":
            self._become("probe")

    @property
    def awaits(self) -> bool:
        """Whether Entries are under way to it, as far as is known here."""
        return self.state == "replicate" and self._flow.count > 0

    def is_silent(self, now_ns: int, least_ns: int) -> bool:
        """Whether what is under way has to be taken for lost, since nothing of it is answered. That
        takes longer each time, for a slow link may carry it still."""
        silent_ns = max(least_ns, self._silent_ns)
        if not self.awaits or now_ns - self._heard_ns < silent_ns:
            return False
        self._silent_ns = min(2 * silent_ns, limits.STEP_AGAIN_NS_MAX)
        return True

    def read(self, now_ns: int) -> None:
        """The next Entries are being read from the ledger for it."""
        self.reading = True
        self.asked_ns, self._step_ns = now_ns, 0

    def installing(self, now_ns: int) -> None:
        """It needs a Checkpoint."""
        self._become("install")
        self.content, self.offset = None, 0
        self.asked_ns, self._piece_ns, self._step_ns = now_ns, now_ns, 0

    def wants_piece(self, offset: int, now_ns: int) -> bool:
        """It wants the piece of the Checkpoint from there on; return whether that is news. A piece
        that is under way is not sent twice: each would be answered, and so on for ever."""
        if offset == self.offset:
            return False
        took_ns = now_ns - self._piece_ns
        self._step_ns = min(2 * took_ns, limits.STEP_AGAIN_NS_MAX)
        self.offset, self.asked_ns, self._piece_ns = offset, now_ns, now_ns
        return True

    def is_overdue(self, now_ns: int, least_ns: int) -> bool:
        """Whether a step of reading or installing is to be repeated: after twice the time that the
        last piece took, and longer each time, for a slow link may carry what is thought to be lost.
        For a peer that is not there nothing is done."""
        if not self.reading and (self.state != "install" or self.contact_ns < self.asked_ns):
            return False
        if now_ns - self.asked_ns < max(least_ns, self._step_ns):
            return False
        self.asked_ns = now_ns
        self._step_ns = min(2 * max(least_ns, self._step_ns), limits.STEP_AGAIN_NS_MAX)
        return True

    def installed(self, index: int) -> None:
        """It has a Checkpoint of `index`, or needs none up to there: probe from there on."""
        self._become("probe")
        self.next = max(self.match, index) + 1
        self.paused = True  # it may be reloading: the next heartbeat's answer says that it is back

    def _become(self, state: State) -> None:
        self.state = state
        self.paused = self.reading = False
        self._again_ns = 0
        self._patience_ns = limits.PROBE_AGAIN_NS
        self._flow.forget()


def _flow() -> Flow:
    return Flow(limits.PEER_WINDOW_BYTES_MIN, limits.PEER_WINDOW_BYTES)
