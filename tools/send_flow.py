"""How `rmf-send` streams: read, post, wait for outcomes, report (trio).

It decides how much is under way, at which pace, and what is said of it. Two tasks beside the
client's own: one reads the file and posts batches, one waits for their outcomes, in the order of
seqs. Bounds: batches under way PRODUCER_FRAMES_IN_FLIGHT, then reading waits; packets waiting to be
sent are the client's bound. A line that is no packet ends the reading; what stands before it is
sent, and its outcomes are reported, before BadLine is raised. So are those of a producer that the
factory forgot, `unknown` ones too, before Refused is.
"""

import json
import secrets
import sys
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any, BinaryIO, NamedTuple

import trio

from rmf import limits
from rmf.client.client_values import rows_of
from rmf.client.factory import Factory, connect
from rmf.client.nursery import open_hidden_nursery
from rmf.client.producing import SentBatch
from rmf.client.route import Address
from rmf.core import messages as m
from rmf.errors import ProtocolFault, Refused, RmfError, UsageError
from tools.send_lines import BadLine, LineReader, Packet

__all__ = ["Flow", "Pace", "Report", "TimedOut"]


class TimedOut(RmfError):
    """The node is there, but says nothing of what it was sent."""


class Pace(NamedTuple):
    """`batch_packets` posted at once, at most; `rate_hz` packets per second, or None for as fast as
    the node takes them; `patience_s` without a connection, or without any outcome."""

    batch_packets: int
    rate_hz: float | None
    patience_s: float

    def slice_packets(self) -> int:
        """Return how many packets to post at once, so that the rate is smooth."""
        if self.rate_hz is None:
            return self.batch_packets
        return max(1, min(self.batch_packets, int(self.rate_hz / limits.SEND_SLICES_PER_S)))


class Report:
    """Counts outcomes and writes them to stdout; `finish` writes the summary, whatever happened."""

    def __init__(self, *, per_packet: bool) -> None:
        self.counts = {
            "sent": 0,
            "applied": 0,
            "bagged": 0,
            "duplicate": 0,
            "unknown": 0,
            "skipped": 0,
        }
        self._per_packet = per_packet
        self._began = time.monotonic()

    def add(self, runs: list[m.Run]) -> None:
        """Take in the outcomes of packets, in the order of their seqs."""
        for run in runs:
            if run.outcome >= len(m.OUTCOMES):
                raise ProtocolFault("wrong_shape", f"ACK: there is no outcome {run.outcome}")
            self.counts["sent"] += run.packets
            self.counts[m.OUTCOMES[run.outcome]] += run.packets
            self.counts["duplicate"] += run.packets if run.duplicate else 0
        if self._per_packet:
            sys.stdout.write("".join(_line(run, i) for run in runs for i in range(run.packets)))
            sys.stdout.flush()

    def finish(self) -> None:
        """Write the summary, if that is what was asked for."""
        if not self._per_packet:
            seconds = round(time.monotonic() - self._began, 3)
            sys.stdout.write(_compact({**self.counts, "seconds": seconds}) + "\n")
            sys.stdout.flush()


def _compact(value: dict[str, Any]) -> str:
    return json.dumps(value, separators=(",", ":"))


def _line(run: m.Run, i: int) -> str:
    facts: dict[str, Any] = {
        "seq": run.seq + i,
        "outcome": m.OUTCOMES[run.outcome],
        "duplicate": run.duplicate,
        "term": run.term,
        "tick": run.tick,
        "slot": None if run.slot is None else run.slot + i,
        "reason": run.reason,
        "letter": run.letter,
    }
    return _compact(facts) + "\n"


class Flow:
    """One file on its way to a factory."""

    def __init__(self, file: BinaryIO, reader: LineReader, report: Report, pace: Pace) -> None:
        self._file = file
        self._reader = reader
        self._report = report
        self._pace = pace
        self._bad: BadLine | None = None

    async def run(
        self,
        addresses: list[Address],
        producer: str | None,
        resume: bool,
        say: Callable[[str], None],
    ) -> None:
        """Send everything and report it. Raises BadLine, TimedOut, and what the client raises."""
        name = producer or f"rmf-send-{secrets.token_hex(8)}"
        async with connect(
            addresses,
            producer=name,
            ephemeral=producer is None,
            give_up_s=self._pace.patience_s,
            say=say,
        ) as factory:
            posted, posted_out = trio.open_memory_channel[SentBatch](
                limits.PRODUCER_FRAMES_IN_FLIGHT
            )
            async with open_hidden_nursery() as nursery:
                nursery.start_soon(self._collect, factory, posted_out)
                async with posted:
                    await self._post_all(factory, posted, factory.last_seq if resume else None)
            if factory.forgotten is not None:
                raise factory.forgotten
        if self._bad is not None:
            raise self._bad

    async def _post_all(
        self, factory: Factory, posted: trio.MemorySendChannel[SentBatch], resume_after: int | None
    ) -> None:
        """Post packets until the end, or until a line that is none."""
        began, count = trio.current_time(), 0
        async with aclosing(self._slices()) as slices:
            async for packets in slices:
                todo = packets
                if resume_after is not None:
                    todo = [packet for packet in packets if packet.number > resume_after]
                    self._report.counts["skipped"] += len(packets) - len(todo)
                    _check_resume(factory, todo)
                if todo and not await self._post(factory, posted, todo):
                    return
                count += len(todo)
                if self._pace.rate_hz is not None:
                    await trio.sleep_until(began + count / self._pace.rate_hz)

    async def _post(
        self, factory: Factory, posted: trio.MemorySendChannel[SentBatch], packets: list[Packet]
    ) -> bool:
        """Post packets; False if one can't be sent: then only those before it were posted."""
        good = packets
        try:
            batch = await factory.post([packet.parcel for packet in packets])
        except UsageError:
            good = self._good(packets)
            batch = await factory.post([packet.parcel for packet in good])
        await posted.send(batch)
        return good is packets

    def _good(self, packets: list[Packet]) -> list[Packet]:
        """Return the packets before the first that can't be sent, and note that one."""
        for i, packet in enumerate(packets):
            try:
                rows_of([packet.parcel])
            except UsageError as exc:
                text = str(exc).removeprefix("packet 0 of 1: ")
                self._bad = BadLine(packet.line, text)
                return packets[:i]
        return packets

    async def _slices(self) -> AsyncGenerator[list[Packet], None]:
        """Give packets as they are read, a slice at a time; note a bad line and end there."""
        most = self._pace.slice_packets()
        waiting: list[Packet] = []
        data = b" "
        while data and self._bad is None:
            data = await self._read()
            try:
                for packet in self._reader.feed(data) if data else self._reader.end():
                    waiting.append(packet)
                    if len(waiting) == most:
                        yield waiting
                        waiting = []
            except BadLine as exc:
                self._bad = exc
            if waiting:
                yield waiting
                waiting = []

    async def _read(self) -> bytes:
        read1 = getattr(self._file, "read1", self._file.read)
        try:
            data: bytes = await trio.to_thread.run_sync(
                read1, limits.INPUT_READ_BYTES, abandon_on_cancel=True
            )
        except OSError as exc:
            raise RmfError(f"reading failed: {exc.strerror}") from exc
        return data

    async def _collect(
        self, factory: Factory, posted: trio.MemoryReceiveChannel[SentBatch]
    ) -> None:
        """Report the outcomes of batches, in the order in which they were posted."""
        async for batch in posted:
            try:
                self._report.add(await self._outcomes(factory, batch))
            except Refused:
                self._report.add(batch.known)
                raise

    async def _outcomes(self, factory: Factory, batch: SentBatch) -> list[m.Run]:
        """Wait for a batch's outcomes. Raises TimedOut if a connected node is silent on it; being
        without a connection has its own bound, in the client."""
        while True:
            with trio.move_on_after(self._pace.patience_s):
                return await batch.runs()
            if factory.connected:
                raise TimedOut(
                    f"no outcome of seq {batch.first_seq} within {self._pace.patience_s:g} s:"
                    " rmf-status says what the node is doing"
                )


def _check_resume(factory: Factory, todo: list[Packet]) -> None:
    """Raise RmfError if the first packet would not get its own number as seq: the node forgot the
    name since WELCOME."""
    if todo and todo[0].number != factory.last_seq + 1:
        raise RmfError(
            f"line {todo[0].line} is packet {todo[0].number}, but the node goes on with seq"
            f" {factory.last_seq + 1}: it forgot this producer, --resume is no use"
        )
