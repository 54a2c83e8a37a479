"""One more producer, whose packets are large: what fills links and Entries.

It goes on for as long as the others work, and waits for acks as any client does: no more than a few
packets are without an outcome at a time.
"""

from typing import TYPE_CHECKING

import cbor2

from rmf import limits

if TYPE_CHECKING:
    from rmf.testing.cluster import Cluster

__all__ = ["FREIGHT", "Freight"]

FREIGHT = "freight"  # the producer's name

_PACKET_BYTES = 8 * limits.KIB
_UNACKED_MAX = 8
_PLACES = 8
_TTL_MS = 600_000


class Freight:
    """`kib` of it in a second, 0: none."""

    def __init__(self, cluster: "Cluster", kib: float) -> None:
        self._cluster = cluster
        self._kib = kib
        self._number = 0

    def begin(self) -> None:
        """Start to send, if there is anything."""
        if self._kib:
            producer = self._cluster.employ(FREIGHT)
            producer.resting = True  # it makes no packets of its own
            producer.begin()
            self._cluster.agenda.after(0, self._send)

    def _send(self) -> None:
        cluster = self._cluster
        if cluster.reader.resting:
            return
        pause_ns = int(_PACKET_BYTES / limits.KIB / self._kib * limits.SECOND)
        cluster.agenda.after(pause_ns, self._send)
        producer = cluster.producers[FREIGHT]
        if producer.log.epoch and producer.log.unacked < _UNACKED_MAX:
            self._number += 1
            payload = cbor2.dumps(self._number.to_bytes(8, "big").ljust(_PACKET_BYTES, b"."))
            topic = f"freight/{self._number % _PLACES}"
            producer.add([[topic, 0, cluster.agenda.now_ns, _TTL_MS, payload]])
            producer.pump()
