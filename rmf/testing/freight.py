"""One more producer, whose packets are large: what fills links and Entries.

It goes on for as long as the others work, and waits for acks as any client does: no more than a few
packets are without an outcome at a time.
"""

import cbor2

from rmf import limits
from rmf.testing.environment import Environment
from rmf.testing.simulated_producers import Employer

__all__ = ["FREIGHT", "Freight"]

FREIGHT = "freight"  # the producer's name

_PACKET_BYTES = 8 * limits.KIB
_UNACKED_MAX = 8
_PLACES = 8
_TTL_MS = 600_000


class Freight:
    """`kib` of it in a second, 0: none."""

    def __init__(self, env: Environment, employer: Employer, kib: float) -> None:
        self._env = env
        self._employer = employer
        self._kib = kib
        self._number = 0

    def begin(self) -> None:
        """Start to send, if there is anything."""
        if self._kib:
            producer = self._employer.employ(FREIGHT)
            producer.resting = True  # it makes no packets of its own
            producer.begin()
            self._env.agenda.after(0, self._send)

    def _send(self) -> None:
        env = self._env
        if env.resting:
            return
        pause_ns = int(_PACKET_BYTES / limits.KIB / self._kib * limits.SECOND)
        env.agenda.after(pause_ns, self._send)
        producer = self._employer.producers[FREIGHT]
        if producer.log.epoch and producer.log.unacked < _UNACKED_MAX:
            self._number += 1
            payload = cbor2.dumps(self._number.to_bytes(8, "big").ljust(_PACKET_BYTES, b"."))
            topic = f"freight/{self._number % _PLACES}"
            producer.add([[topic, 0, env.agenda.now_ns, _TTL_MS, payload]])
            producer.pump()
