"""What a failed arbiter had in hand: the packets, and who sent them."""

import cbor2

from rmf.core import events as ev
from rmf.floor.arbiter.in_progress import packets_among, packets_on
from tests.line.bench import batch, row


def test_offers_are_packets_and_other_events_are_none() -> None:
    offered = ev.Offered(7, "probe", 2, b"frame", [row("a")], 0, {}, 0)
    (held,) = packets_among([ev.Beat(), offered, ev.Lost(7)])
    assert (held.data, held.producer, held.epoch, held.connection) == (b"frame", "probe", 2, 7)


def test_a_batch_on_the_bench_holds_its_rows() -> None:
    rows = [row("a", 1), row("b", 2)]
    (held,) = packets_on(batch(*rows))
    assert (cbor2.loads(held.data), held.producer, held.epoch) == (rows, "probe", 1)
