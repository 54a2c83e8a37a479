"""Reading a DLQ from afar: who answers, page by page, and what follows when a node is lost (R39).

It decides how many letters are asked for at a time, and where a walk goes on after an answer or a
break. It knows the questions of storage/dlq_query and the rows of letters, and nothing of how they
are shown. It blocks, and imports neither trio nor attrs.

Theory. The row of the last letter seen is all that a walk has to remember: it asks for what lies
behind it. So a page, a poll and a new connection are the same step.
"""

import random
import time
from collections.abc import Iterator
from typing import Any

from rmf import limits
from rmf.client import blocking, opened_letters
from rmf.client.command import notice, whoami
from rmf.core.messages import WireCell
from rmf.errors import ConnectionFailed, ProtocolFault, Refused

__all__ = ["AGENT", "Body", "QueriedNode", "Source", "follow", "walk"]

AGENT = f"rmf-dlq {whoami()}"  # who decides something says so: it is kept (R40)

Body = dict[str, Any]


class Source:
    """Who answers questions about a DLQ; `name` is human-readable and tells one DLQ from
    another."""

    name: str

    def ask(self, subject: str, query: Body) -> Iterator[Body]:
        """Give the bodies of an answer (see storage/dlq_query)."""
        raise NotImplementedError

    def cell(self, key: str) -> WireCell | None:
        """Return what is in a cell now, or None if there is none. Raises LookupError where that
        is unknown: of a directory, or while no node reigns."""
        raise LookupError(f"{self.name} is no running node: what is in {key!r} now, it cannot say")

    def would(self, packet: bytes, producer: str) -> Body:
        """Return what the present line would do with a packet (`line.would`). Raises LookupError
        where that is unknown."""
        asked = f"a packet of {len(packet)} bytes from {producer}"
        raise LookupError(f"{self.name} is no running node: it has no line to show {asked}")

    def reopen(self) -> None:
        """Connect again after a connection was lost."""

    def close(self) -> None:
        """Close it."""


class QueriedNode(Source):
    """A node, by QUERY; `timeout_s` bounds the wait for each piece of an answer."""

    def __init__(self, addresses: list[blocking.Address], timeout_s: float) -> None:
        self._addresses = addresses
        self._timeout_s = timeout_s
        self._connect()

    def reopen(self) -> None:
        """Connect to the first node that welcomes us. Raises ConnectionFailed, Refused."""
        self._connection.close()
        self._connect()

    def _connect(self) -> None:
        self._connection = blocking.connect(
            self._addresses, agent=AGENT, timeout_s=min(self._timeout_s, limits.CONNECT_S_MAX)
        )
        self.name = opened_letters.plain(self._connection.welcome.get("node"))

    def ask(self, subject: str, query: Body) -> Iterator[Body]:
        """Give the bodies of an answer. Raises what `BlockingConnection.query` raises."""
        return self._connection.query(subject, query, self._timeout_s)

    def cell(self, key: str) -> WireCell | None:
        """Return what is in a cell now. Raises LookupError, ConnectionFailed."""
        try:
            return self._connection.get(key, self._timeout_s)
        except (Refused, TimeoutError) as exc:
            raise LookupError(str(exc)) from exc

    def would(self, packet: bytes, producer: str) -> Body:
        """Return what the present line would do with a packet. Raises LookupError,
        ConnectionFailed."""
        try:
            asked = {"packet": packet, "producer": producer}
            return next(iter(self.ask("line.would", asked)))
        except (Refused, TimeoutError, StopIteration) as exc:
            raise LookupError(str(exc) or "the node said nothing") from exc

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def walk(
    source: Source, query: Body, letters_max: int | None, *, newest_first: bool = False
) -> Iterator[Body]:
    """Give up to so many letters (None: all), asking for a page at a time."""
    left = letters_max
    query = {**query, "newest_first": newest_first}
    while left is None or left > 0:
        page = limits.DLQ_PAGE_LETTERS if left is None else min(left, limits.DLQ_PAGE_LETTERS)
        found = 0
        for body in source.ask("dlq.list", {**query, "limit": page}):
            found += 1
            query["before" if newest_first else "after"] = _row_of(body)
            yield body
        if not found:
            return
        left = None if left is None else left - found


def _row_of(body: Body) -> int:
    row = body.get("row")
    if type(row) is not int:
        raise ProtocolFault("wrong_shape", "a letter came without its row; is the node newer?")
    return row


def follow(source: Source, query: Body, past: int) -> Iterator[Body]:
    """Give the last `past` letters there were, then each new one; a lost node is waited for."""
    row = _newest_row(source)
    yield from reversed(list(walk(source, {**query, "before": row + 1}, past, newest_first=True)))
    while True:
        seen = row
        try:
            for body in source.ask("dlq.tail", {**query, "after": row}):
                row = _row_of(body)
                yield body
            if row == seen:
                time.sleep(limits.DLQ_POLL_S)
        except (ConnectionFailed, Refused) as exc:
            row = _come_back(source, row, exc)


def _newest_row(source: Source) -> int:
    return max(map(_row_of, walk(source, {}, 1, newest_first=True)), default=0)


def _come_back(source: Source, row: int, why: ConnectionFailed | Refused) -> int:
    """Reconnect with back-off, however long it takes; return the row to go on from.

    Rows count within one node's file, so another node's letters are followed from its newest on.
    Raises Refused if the node's answer is final.
    """
    name, wait_s = source.name, limits.RECONNECT_S_MIN
    notice(f"rmf-dlq: {why}; connecting again")
    while True:
        if isinstance(why, Refused) and not why.retry:
            raise why
        time.sleep(random.uniform(wait_s / 2, wait_s))  # noqa: S311 jitter is no secret
        wait_s = min(2 * wait_s, limits.RECONNECT_S_MAX)
        try:
            source.reopen()
            newest = _newest_row(source)
        except (ConnectionFailed, Refused) as exc:
            why = exc
            continue
        if source.name == name and newest >= row:
            return row
        notice(f"rmf-dlq: {source.name} answers in place of {name}: only its new letters follow")
        return newest
