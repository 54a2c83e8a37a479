"""People outside of a node: producers and a display that use the library, and rude clients.

What they were promised is kept here and judged in `seed`.
"""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from random import Random

import cbor2
import trio

import rmf
from rmf import limits
from rmf.core import codec
from rmf.core import messages as m
from rmf.errors import RmfError
from tests.floor.wire import Wire

__all__ = [
    "Asker",
    "Crowd",
    "Display",
    "Producer",
    "answer_to",
    "checkpoint",
    "companion",
    "operate",
    "order",
    "rude",
    "strike",
]

_TTL_MS = 86_400_000
_GARBAGE = b"\x00\x00\x00\x01\xff"  # a frame that is no CBOR
ANSWER_S = 60.0
_OPEN_S_MAX = 20.0  # for a question, while nothing hangs
_NAMESAKE = "companion"
_MANNERS = ("garbage", "half_open", "deaf", "bad_packet", "reset", "namesake")
_TOPICS = ("cell", "cell", "count", "raises")


class Sent:
    """One packet: its topic, and what became of it, once that is known."""

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self.receipt: rmf.Receipt | None = None
        self.at_s = 0.0  # when that was known


class Producer:
    """Sends packets of all kinds until it rests; `failed` says why it had to give up."""

    def __init__(self, name: str, dice: Random) -> None:
        self.name = name
        self.sent: list[Sent] = []
        self.resting = False
        self.failed = ""
        self._dice = dice

    @property
    def unanswered(self) -> int:
        """Return how many packets have no outcome yet."""
        return sum(sent.receipt is None for sent in self.sent)

    async def run(self, address: str) -> None:
        """Work until cancelled."""
        try:
            async with (
                rmf.connect(address, producer=self.name) as factory,
                trio.open_nursery() as n,
            ):
                while True:
                    await trio.sleep(self._dice.expovariate(1.0))
                    if not self.resting:
                        some = [self._packet() for _ in range(self._dice.randint(1, 4))]
                        n.start_soon(self._send, factory, some)
        except* RmfError as exc:
            self.failed = repr(exc.exceptions[0])

    def _packet(self) -> Sent:
        topic = self._dice.choice(_TOPICS)
        if topic == "cell":
            topic = f"cell/{self.name}/{len(self.sent)}"
        self.sent.append(Sent(topic))
        return self.sent[-1]

    async def _send(self, factory: rmf.Factory, some: list[Sent]) -> None:
        receipts = await factory.send_many([(sent.topic, 1, _TTL_MS) for sent in some])
        for sent, receipt in zip(some, receipts, strict=True):
            sent.receipt, sent.at_s = receipt, trio.current_time()


class Display:
    """Looks at everything. `tick`, `keys` and `count` are those of the newest picture."""

    def __init__(self) -> None:
        self.tick = 0
        self.count = 0
        self.keys: set[str] = set()
        self.fault = ""

    async def run(self, address: str) -> None:
        """Look until cancelled."""
        async with (
            rmf.connect(address) as factory,
            factory.watch("#") as snapshots,
        ):
            async for snapshot in snapshots:
                if snapshot.tick < self.tick:
                    self.fault = f"the picture went back from tick {self.tick} to {snapshot.tick}"
                self.tick = snapshot.tick
                if snapshot.kind != "keepalive":
                    self.keys = set(snapshot.cells)
                    counted = snapshot.cells.get("count")
                    self.count = cbor2.loads(counted.encoded) if counted is not None else 0


class Asker:
    """Asks one thing after another, each over a connection of its own. The node may close it, with
    or without a word; what it must not do is to leave the question open."""

    def __init__(self, dice: Random) -> None:
        self.answers = 0
        self.what = ""
        self._asked_s: float | None = None
        self._dice = dice

    @property
    def waits_s(self) -> float:
        """Return for how long the present question has been open."""
        return trio.current_time() - self._asked_s if self._asked_s is not None else 0.0

    @property
    def fault(self) -> str:
        """Return what it complains of: to be asked while nothing hangs any more."""
        if self.waits_s <= _OPEN_S_MAX:
            return ""
        return f"{self.what} has been open for {self.waits_s:.0f} s"

    async def run(self, host: str, port: int) -> None:
        """Ask until cancelled."""
        while True:
            await trio.sleep(self._dice.uniform(0.1, 2))
            self.what = self._dice.choice(("status", "get", "subscribe", "garbage"))
            self._asked_s = trio.current_time()
            with suppress(OSError, trio.BrokenResourceError):
                await self._ask(
                    self.what, Wire(await trio.open_tcp_stream(host, port), is_strict=False)
                )
                self.answers += 1
            self._asked_s = None

    async def _ask(self, what: str, wire: Wire) -> None:
        async with wire.stream:
            await wire.greet()
            if not isinstance(await answer_to(wire), m.Welcome):
                return
            question: m.Message
            if what == "status":
                question = m.Query(1, "status", {})
            elif what == "get":
                question = m.Get(1, "count", linearizable=self._dice.random() < 0.5)
            else:
                question = m.Subscribe(1, ["#"], {})
            await wire.say_bytes(_GARBAGE if what == "garbage" else codec.encode(question))
            while isinstance(await answer_to(wire), m.Ping | m.Pong):
                pass


class Crowd:
    """All who use the library, and what they were promised together."""

    def __init__(self, producers: list[Producer], askers: list[Asker]) -> None:
        self.display = Display()
        self.producers = producers
        self.askers = askers

    @property
    def packets(self) -> int:
        """Return how many were sent."""
        return sum(len(producer.sent) for producer in self.producers)

    @property
    def waits(self) -> bool:
        """Return whether an outcome is still to come."""
        return any(x.unanswered and not x.failed for x in self.producers)

    def gather(
        self, nursery: trio.Nursery, addresses: str, asked: Sequence[tuple[str, int]]
    ) -> None:
        """Begin: producers and display with all addresses, each asker with one."""
        nursery.start_soon(self.display.run, addresses)
        for producer in self.producers:
            nursery.start_soon(producer.run, addresses)
        for asker, address in zip(self.askers, asked, strict=True):
            nursery.start_soon(asker.run, *address)

    def rest(self, *, resting: bool = True) -> None:
        """Send nothing more, or go on."""
        for producer in self.producers:
            producer.resting = resting

    def taken_within(self, spans: list[tuple[float, float]]) -> list[str]:
        """Return the topics of what was applied, as its producer heard in one of these times."""
        return [
            x.topic
            for producer in self.producers
            for x in producer.sent
            if x.receipt is not None
            and x.receipt.outcome == "applied"
            and any(since_s < x.at_s < until_s for since_s, until_s in spans)
        ]

    def outcomes(self, outcome: str) -> list[tuple[str, str | None]]:
        """Return topic and letter of each packet of which this became."""
        return [
            (x.topic, x.receipt.letter)
            for producer in self.producers
            for x in producer.sent
            if x.receipt is not None and x.receipt.outcome == outcome
        ]

    def open_questions(self) -> list[str]:
        """Return what is not answered though nothing hangs any more."""
        return [asker.fault for asker in self.askers if asker.fault]

    def faults(self) -> list[str]:
        """Return what they complain of."""
        faults = [*([self.display.fault] if self.display.fault else []), *self.open_questions()]
        for producer in self.producers:
            if producer.failed:
                faults.append(f"{producer.name} gave up: {producer.failed}")
            elif producer.unanswered:
                faults.append(f"{producer.name} waits for {producer.unanswered} outcomes")
        return faults

    def picture_faults(self) -> list[str]:
        """Return what the picture lacks of all that was acked, or has twice."""
        faults, seen = [], self.display
        applied = [topic for topic, _ in self.outcomes("applied")]
        if lost := {x for x in applied if x.startswith("cell/")} - seen.keys:
            faults.append(f"acked, and not in the picture: {sorted(lost)[:5]}")
        counted = applied.count("count")
        if seen.count != counted and not self.waits:
            faults.append(f"{counted} packets were counted as {seen.count}")
        return faults


async def answer_to(wire: Wire) -> m.Message | None:
    """Return the next message, however long it takes; None: the node has closed."""
    while True:
        with suppress(trio.TooSlowError):
            return await wire.hear()


async def companion(address: str) -> None:
    """Go along with the node, as the demo does: a name that others may take."""
    async with rmf.connect(address, producer=_NAMESAKE) as factory:
        while True:
            await factory.send("cell/companion", 1, ttl_ms=_TTL_MS)
            await trio.sleep(2)


async def rude(dice: Random, address: tuple[str, int]) -> None:
    """Be one of the clients that a port meets; whatever becomes of it is no matter."""
    manner = dice.choice(_MANNERS)
    with trio.move_on_after(dice.uniform(1, 20)):
        try:
            stream = await trio.open_tcp_stream(*address)
            async with stream:
                await _behave(manner, dice, stream)
        except (OSError, trio.BrokenResourceError, trio.TooSlowError, AssertionError):
            return


async def _behave(manner: str, dice: Random, stream: trio.SocketStream) -> None:
    wire = Wire(stream, is_strict=False)
    if manner == "garbage":
        await stream.send_all(dice.randbytes(dice.randint(1, 2_000)))
    elif manner == "half_open":
        await stream.send_all(codec.PREFACE[: dice.randint(1, len(codec.PREFACE))])
    elif manner == "deaf":
        await wire.hello()
        await wire.say(m.Subscribe(1, ["#"], {}))
    elif manner == "bad_packet":
        await wire.hello(f"rude-{dice.randint(1, 3)}")
        await wire.say(m.Send([["no seq"]]))
        await wire.rest()
    elif manner == "reset":
        await wire.hello(f"rude-{dice.randint(1, 3)}")
        await wire.say(m.Send([["cell/rude", wire.last_seq + 1, 1, limits.SECOND, b"\x01"]]))
        stream.socket.setsockopt(
            trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0"
        )
        return
    else:
        await wire.hello(_NAMESAKE)
    await trio.sleep(dice.uniform(0.1, 15))


async def operate(
    address: tuple[str, int], subject: str, args: dict[str, object]
) -> dict[str, object] | None:
    """Give an order; return what was answered. It may be lost, as may be the answer."""
    with trio.move_on_after(5):
        try:
            wire = Wire(await trio.open_tcp_stream(*address), is_strict=False)
            async with wire.stream:
                await wire.hello()
                await wire.say(m.Query(1, subject, args))
                return (await wire.expect_where(m.Item, lambda x: x.request == 1)).body
        except (OSError, trio.BrokenResourceError, trio.TooSlowError, AssertionError):
            return None
    return None


async def order(address: tuple[str, int], subject: str, args: dict[str, object]) -> bool:
    """Give an order; return whether there was an end of it within ANSWER_S: what was answered, or
    that the connection is closed."""
    with trio.move_on_after(ANSWER_S) as patience:
        try:
            wire = Wire(await trio.open_tcp_stream(*address), is_strict=False)
            async with wire.stream:
                await wire.greet()
                if isinstance(await answer_to(wire), m.Welcome):
                    await wire.say(m.Query(1, subject, args))
                    while not isinstance(await answer_to(wire), m.End | m.Error | None):
                        pass
        except (OSError, trio.BrokenResourceError, trio.TooSlowError):
            return True
    return not patience.cancelled_caught


async def strike(dice: Random, address: tuple[str, int]) -> None:
    """Have a node strike, and work again: its core is read again."""
    await operate(address, "admin.strike", {"why": "the nemesis says so"})
    await trio.sleep(dice.uniform(0.0, 2))
    await operate(address, "admin.strike", {"end": True})


async def checkpoint(address: tuple[str, int], data: Path) -> list[str]:
    """Order a Checkpoint; return what is wrong with the answer, `data` being the node's directory:
    the very one is there, or archived."""
    found = await operate(address, "admin.checkpoint", {})
    if found is None or _has_checkpoint(data, found["index"]):
        return []
    return [f"a Checkpoint is said to be written, and there is none: {found}"]


def _has_checkpoint(data: Path, index: object) -> bool:
    return any(data.rglob(f"*{index}.ckpt"))
