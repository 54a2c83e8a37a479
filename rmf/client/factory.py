"""The factory as its users see it from a trio program (INTERFACES, "Python").

It decides which connection serves what: packets have one, made with `connect` for a named producer
and at the first send for an ephemeral one; questions have one, each subscription its own. All of
them live in one nursery that ends with the context manager. How a connection is kept, link.py
knows; exactly once, producer.py; a subscription, watching.py.
"""

import secrets
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from itertools import islice
from typing import Any, Literal

import trio

from rmf import limits
from rmf.client.client_values import (
    ClientCell,
    Parcel,
    Receipt,
    cells_of,
    rows_of,
)
from rmf.client.command import parse_addresses
from rmf.client.link import ClientLink
from rmf.client.nursery import open_hidden_nursery
from rmf.client.producing import FORGETFUL, Production, SentBatch
from rmf.client.questions import Questions
from rmf.client.route import Address, Route
from rmf.client.speaker import Speaker
from rmf.client.watching import Watching, subscription
from rmf.core import topics
from rmf.errors import Refused, UsageError

__all__ = ["Factory", "connect"]


@asynccontextmanager
async def connect(
    addresses: str | Sequence[Address],
    *,
    producer: str | None = None,
    ephemeral: bool = False,
    cluster: bytes | None = None,
    give_up_s: float | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> AsyncIterator["Factory"]:
    """Connect to a factory: `"host:port"`, or several nodes with commas between.

    `producer` is the name under which packets are sent (R32): last seq and outcomes belong to it,
    and a newer connection of the same name ends this one. Without it an ephemeral name is made at
    the first send. `ephemeral`: the name is forgotten when it leaves. `cluster`: only this one.

    A lost connection is made again with back-off, on whichever node answers, and everything goes
    on; `give_up_s` bounds how long to be without one (None: CONNECT_S_MAX for the first, then for
    ever). `say` receives losses and returns, in words.

    Leaving waits, for GET_S_MAX at most, until what was sent is settled; on an exception it does
    not. Raises UsageError, ConnectionFailed, Refused.
    """
    route = list(parse_addresses(addresses)) if isinstance(addresses, str) else list(addresses)
    hello: dict[str, Any] = {} if cluster is None else {"cluster": cluster}
    async with open_hidden_nursery() as nursery:
        factory = Factory(nursery, route, hello, producer, ephemeral, give_up_s, say)
        try:
            await factory.wait_connected()
            yield factory
            await factory.settled()
        finally:
            await factory.aclose()
            nursery.cancel_scope.cancel()


class Factory:
    """A connected factory; made by `connect`. Its methods may be used by several tasks at once.

    All raise ConnectionFailed once `give_up_s` is over, and Refused when the node's no is final,
    for example `superseded`: a newer connection speaks for this producer. `forgotten`: the factory
    does not know it any more, or has lost data; Receipts of what was sent say "unknown" then.
    """

    def __init__(
        self,
        nursery: trio.Nursery,
        addresses: list[Address],
        hello: dict[str, Any],
        producer: str | None,
        ephemeral: bool,
        give_up_s: float | None,
        say: Callable[[str], None],
    ) -> None:
        self._nursery = nursery
        self._addresses = addresses
        self._hello = hello
        self._name = producer
        self._ephemeral = ephemeral
        self._give_up_s = give_up_s
        self._say = say
        self._production: Production | None = None
        self._questions: Questions | None = None

    @property
    def producer(self) -> str | None:
        """Return the name under which packets are sent; None before an ephemeral one is made."""
        return self._name

    @property
    def forgotten(self) -> Refused | None:
        """Return why this producer has ended, if the factory forgot it, lost what it acked, or is
        another one by now: then what was sent and not acked has the outcome `unknown`, and nothing
        more is sent (R32)."""
        failure = self._production.failure if self._production is not None else None
        if isinstance(failure, Refused) and failure.code in FORGETFUL:
            return failure
        return None

    @property
    def connected(self) -> bool:
        """Return whether there is a connection for packets, or before the first, for questions."""
        speaker = self._production or self._questions
        return speaker is not None and speaker.link.connected.is_set()

    @property
    def last_seq(self) -> int:
        """Return the highest seq numbered for this producer; 0 if there is none."""
        return self._production.log.last_seq if self._production is not None else 0

    @property
    def epoch(self) -> int:
        """Return this producer's epoch, of the last WELCOME; 0 if there is none (R32)."""
        return self._production.log.epoch if self._production is not None else 0

    # --- Sending ------------------------------------------------------------------------------

    async def send(
        self,
        topic: str,
        payload: Any,
        *,
        ttl_ms: int,
        harvested_at: int | None = None,
        fence: int | None = None,
    ) -> Receipt:
        """Send one packet and return what became of it, once that is committed (R2).

        `payload` is any value that CBOR can say, or Raw(bytes). The shelf life `ttl_ms` counts from
        this call. `fence`: if another term reigns, the packet is bagged (R10).

        Cancelled while it waits for room: nothing is sent. Cancelled later: the packet has a seq
        and is sent and latched all the same, only its outcome is not seen. Raises UsageError for a
        packet that every node would bag for its label, before anything is sent.
        """
        batch = await self.post([Parcel(topic, payload, ttl_ms, harvested_at, fence)])
        return (await batch.receipts())[0]

    async def send_many(self, parcels: Iterable[tuple[Any, ...]]) -> list[Receipt]:
        """Send (topic, payload, ttl_ms) tuples, or Parcels; return their Receipts, in order.

        Packets go out in few frames, a window of them in flight. A bad parcel raises UsageError;
        those before it, in earlier slices of FRAME_PACKETS_MAX, are then on their way.
        """
        waiting = iter(parcels)
        batches = []
        while some := list(islice(waiting, limits.FRAME_PACKETS_MAX)):
            batches.append(await self.post(some))
        return [receipt for batch in batches for receipt in await batch.receipts()]

    async def post(self, parcels: Iterable[tuple[Any, ...]]) -> SentBatch:
        """Number packets as soon as there is room, and return without waiting for their outcome.

        The Batch has `first_seq`, and `await batch.receipts()` or, cheaper, `await batch.runs()`
        gives what became of them. The bound is on what waits to be sent: then this waits. One call
        should not bring more than FRAME_PACKETS_MAX.
        """
        rows = rows_of(parcels)
        return await self._produce().post(rows)

    def _produce(self) -> Production:
        if self._production is None:
            if self._name is None:
                self._name = f"ephemeral-{secrets.token_hex(8)}"
                self._ephemeral = True
            hello = {**self._hello, "producer": self._name, "ephemeral": self._ephemeral}
            self._production = Production(hello)
            self._production.link = self._link(self._production)
            self._nursery.start_soon(self._production.run)
        return self._production

    # --- Reading ------------------------------------------------------------------------------

    @asynccontextmanager
    async def watch(
        self,
        filters: str | list[str] = "#",
        *,
        mode: Literal["full", "delta"] = "full",
        rate_hz: float | None = None,
        every_tick: bool = False,
        from_tick: int | None = None,
    ) -> AsyncIterator[Watching]:
        """Subscribe to the cells whose keys match a filter (`+` one level, `#` the rest).

        Gives an async iterator of Snapshots: first the whole selection, then, in mode "full", the
        whole picture each time, in mode "delta" what changed. A slow reader gets the
        newest and learns how many Ticks were skipped; with `every_tick` nothing is skipped. A lost
        connection is resumed behind the last Tick shown. A keepalive says that nothing changed.
        """
        subscribe = subscription(
            filters, mode=mode, rate_hz=rate_hz, every_tick=every_tick, from_tick=from_tick
        )
        watching = Watching(self._hello, subscribe)
        watching.link = self._link(watching)
        async with open_hidden_nursery() as nursery:
            nursery.start_soon(watching.run)
            try:
                yield watching
            finally:
                nursery.cancel_scope.cancel()

    async def get(self, key: str, *, linearizable: bool = False) -> Any:
        """Return the value of a cell, or None if there is none (or its value is null: see `cell`).

        `linearizable`: no write acked before this call is missed, whichever node answers.
        """
        cell = await self.cell(key, linearizable=linearizable)
        return None if cell is None else cell.value

    async def cell(self, key: str, *, linearizable: bool = False) -> ClientCell | None:
        """Return a cell with its Stamp, maker and shelf life, or None."""
        fault = topics.topic_fault(key)
        if fault is not None:
            raise UsageError(fault.replace("topic", "key", 1))
        wire = await self._ask().get(key, linearizable=linearizable)
        return None if wire is None else cells_of([wire])[wire.key]

    async def status(self) -> dict[str, Any]:
        """Return what the node says of itself (INTERFACES, rmf-status)."""
        items = await self._ask().query("status", {})
        return items[0] if items else {}

    def _ask(self) -> Questions:
        if self._questions is None:
            self._questions = Questions(self._hello)
            self._questions.link = self._link(self._questions)
            self._nursery.start_soon(self._questions.run)
        return self._questions

    # --- Connections --------------------------------------------------------------------------

    def _link(self, speaker: Speaker) -> ClientLink:
        link = ClientLink(Route(self._addresses), speaker, give_up_s=self._give_up_s, say=self._say)
        for other in (self._production, self._questions):
            if other is not None and other is not speaker:
                link.know(other.link.addresses)  # what one of our connections learnt, all know
        return link

    async def wait_connected(self) -> None:
        """Wait for the first WELCOME: a named producer's, else a reader's."""
        await (self._ask() if self._name is None else self._produce()).welcome()

    async def settled(self) -> None:
        """Wait until each packet sent has its outcome: GET_S_MAX at most, and while connected."""
        with trio.move_on_after(limits.GET_S_MAX):
            if self._production is not None:
                await self._production.settled()

    async def aclose(self) -> None:
        """Say BYE on what is connected, so that an ephemeral name is forgotten at once."""
        with trio.move_on_after(2 * limits.GOODBYE_S_MAX) as scope:
            scope.shield = True
            for speaker in (self._production, self._questions):
                if speaker is not None:
                    await speaker.closed()
