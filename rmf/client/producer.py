"""The producer's side of exactly once, without I/O: what to send, again and again, until it is
acked (R32, R33; `protocol/README.md` sections 7 to 9).

It decides the seq of each packet, what goes into a frame, how many frames are in flight, what is
sent again after a refusal or on a new connection, and which outcomes are news. It knows the wire's
messages; time comes in as monotonic nanoseconds, jitter as a number. It knows no loop, no socket,
and not who waits for an outcome.

The whole theory: packets get consecutive seqs and stay here until their outcome is known. What the
node has latched and not acked, it answers from its table when it sees it again; so resending from
the oldest unacked packet is always right, and it is all that is ever done. No seq is ever given to
another packet, whatever a REFUSE says (R33). After a REFUSE the node refuses everything behind it
too; sending waits until each frame in flight is settled, one way or the other, and begins again.
Thus no answer to an old frame can be taken for that to its resend. It begins with little, and sends
more as outcomes come: a factory that has just lost its leader gets the windows of all its clients.

Two things cannot be mended and raise Refused: another connection speaks for this name
(`superseded`), or the node may have forgotten what was sent to it (`forgotten`): a resend might be
applied twice, so what is not acked has the outcome `unknown` (R32).
"""

from collections.abc import Iterator
from typing import Any

from rmf import limits
from rmf.client.client_session import announced
from rmf.core import codec, faults
from rmf.core import messages as m
from rmf.core.packet import PAYLOAD, SEQ, TOPIC, TTL_MS
from rmf.errors import ProtocolFault, Refused

__all__ = ["ProducerLog", "clip_run"]

_NO_STAMP = (None,) * 5
_ROW_HEADS_BYTES_MAX = 64  # the heads of a row's fields and its integers, at their longest


class _Frame:
    """Seqs `low` to `last` of a SEND in flight are without an outcome; `low` moves up."""

    __slots__ = ("last", "low")

    def __init__(self, low: int, last: int) -> None:
        self.low = low
        self.last = last


class ProducerLog:
    """All packets of one producer that have no outcome yet, over any number of connections.

    `epoch` is that of the last WELCOME (0 before the first), `last_seq` the highest seq numbered
    here. Invariants: seqs `_oldest` to `last_seq` are contiguous; those without an outcome, and no
    others, are in `_unacked`, with the moment at which their shelf life began.
    """

    def __init__(self) -> None:
        self.epoch = 0
        self.last_seq = 0
        self._unacked: dict[int, tuple[list[Any], int]] = {}
        self._unacked_bytes = 0
        self._oldest = 1
        self._next = 1  # the seq to send next on this connection
        self._sent = 0  # the highest seq ever sent
        self._hellos = 0  # said since the last WELCOME
        self._spoke = False  # a packet was sent, ever
        self._open = False
        self._in_flight: list[_Frame] = []
        self._refused_ns: int | None = None
        self._retry_ns = 0
        self._refusals = 0  # in a row: with no outcome, and no other connection, between them
        self._allowance: int | None = None  # packets in flight, while there are any to send again
        self._window = limits.PRODUCER_FRAMES_IN_FLIGHT
        self._frame_packets = limits.FRAME_PACKETS_MAX
        self._frame_bytes = limits.FRAME_BYTES_MAX

    # --- Packets ------------------------------------------------------------------------------

    @property
    def unacked(self) -> int:
        """Return how many packets have no outcome yet."""
        return len(self._unacked)

    @property
    def owed(self) -> bool:
        """Return whether the node owes us an answer."""
        return bool(self._in_flight)

    @property
    def has_room(self) -> bool:
        """Return whether more packets are welcome: less than a full frame waits to be sent."""
        waiting = self.last_seq + 1 - self._next
        return waiting < self._frame_packets and self._unacked_bytes < limits.UNACKED_BYTES_MAX

    def add(self, rows: list[list[Any]], now_ns: int) -> int:
        """Number these packets and keep them; return the first seq.

        Rows are those of core/packet, checked by the caller; their seqs are overwritten. Their ttl
        counts from `now_ns`.
        """
        assert self.epoch, "packets are numbered from WELCOME's last_seq on"
        first = seq = self.last_seq + 1
        for row in rows:
            row[SEQ] = seq
            self._unacked[seq] = (row, now_ns)
            self._unacked_bytes += len(row[PAYLOAD])
            seq += 1
        self.last_seq = seq - 1
        return first

    # --- Connections --------------------------------------------------------------------------

    @property
    def claim(self) -> int:
        """Return the epoch to name in HELLO; 0 if there is nothing that could be forgotten."""
        return self.epoch if self._spoke else 0

    def hello_said(self) -> None:
        """Note that a HELLO with this name goes out: it raises the epoch, WELCOME or not."""
        self._hellos += 1

    def welcomed(self, welcome: m.Welcome) -> None:
        """Go on with a new connection: whatever is unacked will be sent again.

        Raises Refused (`superseded`, `forgotten`) if that would break exactly once, ProtocolFault
        if WELCOME lacks the facts of a producer.
        """
        epoch, last_seq = welcome.facts.get("epoch"), welcome.facts.get("last_seq")
        if type(epoch) is not int or type(last_seq) is not int or epoch < 1 or last_seq < 0:
            raise ProtocolFault("wrong_shape", "WELCOME: a producer's epoch and last_seq expected")
        if self._unacked or self._spoke:
            self._check_history(epoch, last_seq)
        if not self._unacked:
            self.last_seq = self._sent = last_seq
            self._oldest = last_seq + 1
        self.epoch = epoch
        self._hellos = 0
        self._window = _limit(welcome, "frames_in_flight", limits.PRODUCER_FRAMES_IN_FLIGHT)
        self._frame_packets = _limit(welcome, "frame_packets", limits.FRAME_PACKETS_MAX)
        self._frame_bytes = _limit(welcome, "frame_bytes", limits.FRAME_BYTES_MAX)
        self.lost()
        self._open = True

    def _check_history(self, epoch: int, last_seq: int) -> None:
        """Refuse to go on if what the node remembers cannot be what was sent from here."""
        if last_seq + 1 < self._oldest or (self._spoke and epoch <= self.epoch):
            raise Refused(
                "forgotten",
                f"the node knows this producer up to seq {last_seq} and epoch {epoch}, but acked up"
                f" to {self._oldest - 1} in epoch {self.epoch}: it forgot the name, or lost data",
            )
        strangers = self.epoch > 0 and epoch - self.epoch > self._hellos
        if self._unacked and (last_seq > self._sent or (strangers and self._sent >= self._oldest)):
            raise Refused(
                "superseded" if last_seq else "forgotten",
                f"this name is in epoch {epoch} after {self.epoch}, at seq {last_seq}: it was"
                " forgotten and starts over, or another connection speaks under it; whether the"
                f" packets from {self._oldest} on are ours is unknown",
            )

    def forget(self) -> list[m.Run]:
        """Return the outcome `unknown` of everything that was sent and is not acked, which is sent
        no more: the node has forgotten this name, and will not answer for it (R32)."""
        seqs = [seq for seq in self._unacked if seq <= self._sent]
        for seq in seqs:
            row, _ = self._unacked.pop(seq)
            self._unacked_bytes -= len(row[PAYLOAD])
        self.lost()
        return [
            m.Run(first, last - first + 1, m.UNKNOWN, False, *_NO_STAMP)
            for first, last in _spans(seqs)
        ]

    def lost(self) -> None:
        """Note that the connection ended, or must not be sent on any more (GOAWAY)."""
        self._open = False
        self._in_flight.clear()
        self._refused_ns = None
        self._refusals = 0
        self._begin_again()

    def _begin_again(self) -> None:
        """Go back to the oldest packet without an outcome; what is sent again comes slowly."""
        self._next = self._oldest
        self._allowance = limits.RESEND_PACKETS_FIRST if self._sent >= self._oldest else None

    # --- Sending ------------------------------------------------------------------------------

    def frames(self, now_ns: int) -> list[bytes]:
        """Return frames that shall be sent now, within the window; ask again once they are."""
        if not self._open or not self._may_go_on(now_ns):
            return []
        made: list[bytes] = []
        while len(self._in_flight) < self._window and len(made) < limits.FRAMES_AT_ONCE:
            rows = self._rows(now_ns, self._room())
            if not rows:
                break
            last = rows[-1][SEQ]
            self._in_flight.append(_Frame(rows[0][SEQ], last))
            self._next = last + 1
            self._sent = max(self._sent, last)
            self._spoke = True
            made.append(codec.encode(m.Send(rows)))
        return made

    def _room(self) -> int:
        """Return how many packets the next frame may hold."""
        if self._allowance is None:
            return self._frame_packets
        in_flight = sum(frame.last - frame.low + 1 for frame in self._in_flight)
        return min(self._frame_packets, self._allowance - in_flight)

    def due_ns(self) -> int | None:
        """Return when `frames` or `stuck` may answer differently by the passing of time alone."""
        if self._refused_ns is None:
            return None
        return self._refused_ns + limits.SETTLE_NS_MAX if self._in_flight else self._retry_ns

    def stuck(self, now_ns: int) -> bool:
        """Return whether the node leaves frames behind a refusal unanswered: connect again."""
        if self._refused_ns is None or not self._in_flight:
            return False
        return now_ns >= self._refused_ns + limits.SETTLE_NS_MAX

    def _may_go_on(self, now_ns: int) -> bool:
        if self._refused_ns is None:
            return True
        if self._in_flight or now_ns < self._retry_ns:
            return False
        self._refused_ns = None
        self._begin_again()
        return True

    def _rows(self, now_ns: int, packets: int) -> list[list[Any]]:
        """Return the next frame's packets, so many at most: consecutive, unacked, within the bounds
        of a frame."""
        unacked, seq = self._unacked, self._next
        while seq not in unacked and seq <= self.last_seq:
            seq += 1
        rows: list[list[Any]] = []
        left_bytes = self._frame_bytes - _ROW_HEADS_BYTES_MAX
        end = seq + packets
        while seq < end and (kept := unacked.get(seq)) is not None:
            row, born_ns = kept
            # Four bytes a character are more than UTF-8 ever takes; measuring costs more.
            left_bytes -= len(row[PAYLOAD]) + 4 * len(row[TOPIC]) + _ROW_HEADS_BYTES_MAX
            if left_bytes < 0 and rows:
                break
            rows.append(_aged(row, now_ns - born_ns))
            seq += 1
        return rows

    # --- Answers ------------------------------------------------------------------------------

    def acked(self, ack: m.Ack) -> list[m.Run]:
        """Return the outcomes in an ACK that are news, cut to those seqs: each seq comes once."""
        news = []
        for run in ack.runs:
            news += self._settle(run)
        if news:
            self._progress(sum(run.packets for run in news))
        while self._oldest <= self.last_seq and self._oldest not in self._unacked:
            self._oldest += 1
        # What a connection before had sent may be acked here before it was sent again.
        self._next = max(self._next, self._oldest)
        for frame in self._in_flight:
            while frame.low <= frame.last and frame.low not in self._unacked:
                frame.low += 1
        self._in_flight = [frame for frame in self._in_flight if frame.low <= frame.last]
        return news

    def _progress(self, packets: int) -> None:
        """So many packets have their outcome: the node works, unless it has refused since."""
        if self._refused_ns is None:
            self._refusals = 0
        if self._allowance is not None:
            self._allowance += packets
            if self._allowance >= self._window * self._frame_packets:
                self._allowance = None

    def _settle(self, run: m.Run) -> list[m.Run]:
        low = max(run.seq, self._oldest)
        high = min(run.seq + run.packets - 1, self._sent)
        known = []
        for seq in range(low, high + 1):
            kept = self._unacked.pop(seq, None)
            if kept is not None:
                self._unacked_bytes -= len(kept[0][PAYLOAD])
                known.append(seq)
        if len(known) == run.packets:
            return [run]
        return [clip_run(run, first, last) for first, last in _spans(known)]

    def refused(self, refuse: m.Refuse, now_ns: int, jitter: float) -> None:
        """Take in a REFUSE: go back, not sooner than the code's back-off and up to twice that, by
        `jitter` of 0 to 1; longer if this is not the first in a row. Raises Refused if the code may
        not be retried, or history is lost."""
        if not faults.retry_allowed(refuse.code):
            raise Refused(refuse.code, refuse.text)
        if refuse.code == "seq_gap" and refuse.expected < self._oldest:
            raise Refused(
                "forgotten",
                f"the node expects seq {refuse.expected}, but acked up to {self._oldest - 1}:"
                " it has lost data",
            )
        self._in_flight = [
            frame for frame in self._in_flight if not frame.low <= refuse.seq <= frame.last
        ]
        if self._refused_ns is None:
            self._refused_ns, self._retry_ns = now_ns, now_ns
            self._refusals += 1
        retry_ns = now_ns + int(_back_off_ns(refuse.code, self._refusals) * (1 + jitter))
        self._retry_ns = max(self._retry_ns, retry_ns)


def _back_off_ns(code: str, refusals: int) -> int:
    """Return the code's back-off, doubled with each further refusal up to RECONNECT_S_MAX: what is
    refused is a whole window, sent again each time."""
    assert refusals >= 1
    back_off_ns = faults.FAULTS[code].back_off_ms * limits.MS
    longest_ns = max(back_off_ns, int(limits.RECONNECT_S_MAX * limits.SECOND))
    return min(back_off_ns << min(refusals - 1, 16), longest_ns)


def clip_run(run: m.Run, first: int, last: int) -> m.Run:
    """Return the part of a run with the seqs `first` to `last`; its slots move along."""
    slot = run.slot if run.slot is None else run.slot + first - run.seq
    return run._replace(seq=first, packets=last - first + 1, slot=slot)


def _spans(seqs: list[int]) -> Iterator[tuple[int, int]]:
    """Give (first, last) of each longest stretch of consecutive seqs."""
    first = 0
    for i in range(1, len(seqs) + 1):
        if i == len(seqs) or seqs[i] != seqs[i - 1] + 1:
            yield seqs[first], seqs[i - 1]
            first = i


def _aged(row: list[Any], age_ns: int) -> list[Any]:
    """Return the row with what is left of its ttl (R8). Spent: 1 ms, for its seq needs an outcome,
    and the node gives it."""
    age_ms = age_ns // limits.MS
    if age_ms <= 0:
        return row
    return [*row[:TTL_MS], max(1, row[TTL_MS] - age_ms), *row[TTL_MS + 1 :]]


def _limit(welcome: m.Welcome, name: str, own: int) -> int:
    return min(own, announced(welcome, name, own))
