"""Orders of `rmf-admin`: how one gets to the node that can carry it out, and how often it is given.

An order to the factory goes to the leader, whichever node was named; a node that does not lead says
who does. What may be tried again is tried again until the time is over. An order whose answer was
lost is given again where that does no harm (`protocol/README.md`, RMF-38): twice the same is done
once. Blocking, no trio.
"""

import random
import time
from collections.abc import Callable, Iterator
from typing import Any

from rmf import limits
from rmf.client.blocking import Address, BlockingConnection, connect
from rmf.client.route import address_text, back_off_s, readable
from rmf.errors import ConnectionFailed, ProtocolFault, Refused, UsageError

__all__ = ["Orders"]

_AGENT = "rmf-admin"
_DONE_BEFORE = {"admin.remove": "no_such_member"}  # what says so when an order is given again


class Orders:
    """Gives orders for at most `patience_s`; all raise TimeoutError, with the last reason, when
    that is over. `say` receives, once each, why an order has to wait."""

    def __init__(
        self,
        addresses: list[Address],
        patience_s: float,
        say: Callable[[str], None],
        agent: str = _AGENT,
    ) -> None:
        self._agent = agent
        self._addresses = list(addresses)
        self._deadline = time.monotonic() + patience_s
        self._patience_s = patience_s
        self._say = say
        self._said = ""

    def to_the_leader(
        self, subject: str, args: dict[str, Any], *, repeatable: bool = True
    ) -> dict[str, Any]:
        """Return what the leader answered to an order, or to a question such as "status".

        Raises Refused when its no is final; ConnectionFailed when the answer was lost and the order
        is not `repeatable`.
        """
        in_doubt = False
        for _ in self._attempts():
            try:
                connection = self._connect()
            except (ConnectionFailed, Refused) as exc:
                self._wait_because(exc)
                continue
            with connection:
                try:
                    return self._ask(connection, subject, args)
                except Refused as exc:
                    if in_doubt and exc.code == _DONE_BEFORE.get(subject):
                        return {}
                    self._wait_because(exc)
                    self._go_to_the_leader(connection, exc)
                except (ConnectionFailed, TimeoutError) as exc:
                    if not repeatable:
                        raise ConnectionFailed(
                            f"{exc}. Whether the order was carried out is not known: see rmf-status"
                        ) from exc
                    in_doubt = True
                    self._wait_because(exc)
        raise AssertionError("attempts end by an exception")

    def to_the_node(self, node: str | None, subject: str, args: dict[str, Any]) -> dict[str, Any]:
        """Return what the node of that name answered; None: the only node that was named by its
        address. Raises UsageError if no node of that name is found, ConnectionFailed, Refused."""
        if node is None:
            if len(self._addresses) > 1:
                raise UsageError("several addresses: say which NODE is meant")
            with self._connect() as connection:
                return self._ask(connection, subject, args)
        with self._find(node) as connection:
            return self._ask(connection, subject, args)

    def pause(self, seconds: float, text: str) -> None:
        """Wait before looking again. Raises TimeoutError with this text if time is over by then."""
        if self._left_s() <= seconds:
            raise TimeoutError(f"not done within {self._patience_s:g} s: {text}")
        time.sleep(seconds)

    # --- Finding ------------------------------------------------------------------------------

    def _find(self, node: str) -> BlockingConnection:
        """Return a connection to the node of that name, among those named and those they name."""
        found: dict[str, str] = {}
        tried: set[Address] = set()
        while waiting := [address for address in self._addresses if address not in tried]:
            tried.add(waiting[0])
            try:
                connection = connect([waiting[0]], agent=self._agent, timeout_s=self._attempt_s())
            except (ConnectionFailed, ProtocolFault, Refused) as exc:
                self._say(f"{address_text(waiting[0])}: {exc}")
                continue
            if connection.welcome.get("node") == node:
                return connection
            found[connection.address] = str(connection.welcome.get("node"))
            self._learn(connection)
            connection.close()
        others = ", ".join(f"{name} at {address}" for address, name in found.items())
        raise UsageError(f"no node {node!r} can be reached; found {others or 'none'}")

    def _connect(self) -> BlockingConnection:
        connection = connect(self._addresses, agent=self._agent, timeout_s=self._attempt_s())
        self._learn(connection)
        return connection

    def _learn(self, connection: BlockingConnection) -> None:
        nodes = connection.welcome.get("nodes")
        if type(nodes) is list:
            known = dict.fromkeys([*self._addresses, *readable(nodes)])
            self._addresses = list(known)[: limits.ADDRESSES_MAX]

    def _go_to_the_leader(self, connection: BlockingConnection, refusal: Refused) -> None:
        """Put the leader first; where this node knows none, put another node first."""
        if refusal.code not in {"not_leader", "no_reign", "strike", "stopping"}:
            return
        self._addresses.sort(key=lambda known: address_text(known) == connection.address)
        leader = list(readable([connection.welcome.get("leader")]))
        self._addresses = list(dict.fromkeys([*leader, *self._addresses]))

    # --- Asking and waiting -------------------------------------------------------------------

    def _ask(
        self, connection: BlockingConnection, subject: str, args: dict[str, Any]
    ) -> dict[str, Any]:
        timeout_s = max(min(self._left_s(), limits.GET_S_MAX), 0.001)
        bodies = list(connection.query(subject, args, timeout_s))
        return bodies[0] if bodies else {}

    def _attempts(self) -> Iterator[None]:
        """Give one attempt after the other, with a back-off between them, until time is over."""
        rounds = 0
        while True:
            yield None
            self.pause(back_off_s(rounds, random.random()), self._said)  # noqa: S311 -- jitter
            rounds += 1

    def _wait_because(self, exc: ConnectionFailed | Refused | TimeoutError) -> None:
        """Say why there has to be another attempt; raise what is final."""
        if isinstance(exc, Refused) and not exc.retry:
            raise exc
        if str(exc) != self._said and getattr(exc, "code", "") != "not_leader":
            self._say(f"{exc}; trying again")
        self._said = str(exc)

    def _left_s(self) -> float:
        return self._deadline - time.monotonic()

    def _attempt_s(self) -> float:
        return max(min(self._left_s(), limits.CONNECT_S_MAX), 0.001)
