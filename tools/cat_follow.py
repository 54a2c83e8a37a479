"""Following a subscription through thick and thin: for `rmf-cat`.

It decides when a node is dead, when to try the next one, where to resume, and when to give up; it
gives whole Snapshots, applied to a Picture, and knows nothing of how they are shown. Blocking, no
trio, no attrs: the command must answer at once.

A node is dead when nothing comes from it for five keepalives. A lost connection is made again with
back-off and jitter, on whichever node answers, in the same cluster, and resumed behind the last
Tick of the Picture (R35), so nothing is shown twice and what was missed is declared. Any node will
do (R31); those that a WELCOME names are known beside those that the user named.
"""

import time
from collections.abc import Callable, Generator, Iterator
from typing import Any, NamedTuple

from rmf import limits
from rmf.client.blocking import Address, BlockingConnection, connect
from rmf.client.client_session import refused_by
from rmf.client.picture import ClientPicture, HistoryChanged
from rmf.client.route import address_text, readable
from rmf.core.messages import DELTA, KEEPALIVE, Error, Gap, Goaway, Pong, Snapshot, Subscribe
from rmf.errors import ConnectionFailed, Refused, RmfError

__all__ = ["FactoryTime", "Follower", "GapFound", "Wanted"]

_NUMBER = 1  # of the one subscription on the connection


class GapFound(RmfError):
    """Ticks that were asked for are lost for good, and the user wants to stop there."""


class Wanted(NamedTuple):
    """What to follow. `patience_s`: how long to wait for a Snapshot (keepalives do not count), or
    None for ever. `keep` says of a key whether it is shown at all. `strict`: a gap is an error."""

    addresses: list[Address]
    filters: list[str]
    options: dict[str, Any]
    keep: Callable[[str], bool] | None
    patience_s: float | None
    reconnect: bool
    strict: bool


class FactoryTime:
    """The factory's present tick as far as a display can tell: what the node said last, carried on
    by this computer's clock. For the reader only: nothing is decided by it."""

    def __init__(self) -> None:
        self.period_s = limits.TICK_PERIOD_NS / limits.SECOND
        self._tick = 0
        self._noted_at = 0.0

    def note(self, tick: int, now: float) -> None:
        """Take in a tick that the node stated."""
        if tick > self.tick(now):
            self._tick, self._noted_at = tick, now

    def tick(self, now: float) -> int:
        """Return the present tick, about."""
        return self._tick + int((now - self._noted_at) / self.period_s) if self._tick else 0


class Follower:
    """One subscription over as many connections as it takes.

    `picture` is what was shown so far, `time` the factory's time, `node` who serves it now. Things
    to tell the user go to `say` (`detail` is True for what only the curious want to know).
    """

    def __init__(self, wanted: Wanted, say: Callable[..., None]) -> None:
        self.picture = ClientPicture()
        self.time = FactoryTime()
        self.node = ""
        self._wanted = wanted
        self._say = say
        self._addresses = list(wanted.addresses)
        self._cluster: bytes | None = None
        self._attempts = 0
        self._hold_off_s = 0.0
        self._give_up_at: float | None = None

    def snapshots(self) -> Iterator[Snapshot | None]:
        """Give each whole Snapshot and keepalive; None about once per second when nothing comes.

        Raises TimeoutError, GapFound, Refused, ProtocolFault; ConnectionFailed if there is no node
        to begin with, or the connection is lost and may not be made again.
        """
        self._be_patient_again()
        connection = self._connect()
        while True:
            try:
                with connection:
                    yield from self._follow(connection)
            except (ConnectionFailed, Refused) as exc:
                self.picture.lost()
                if not self._wanted.reconnect or (isinstance(exc, Refused) and not exc.retry):
                    raise
                self._say(f"{exc}; connecting again")
            except HistoryChanged as exc:
                self._begin_anew(str(exc))
            self._put_last(connection.address)
            connection = yield from self._connect_again()

    def _begin_anew(self, why: str) -> None:
        """Drop the picture: its ticks mean nothing where the node is. A whole one comes next."""
        self._on_gap(f"gap: {why}")
        if not self._wanted.reconnect:
            raise ConnectionFailed(why)
        self.picture = ClientPicture()
        period_s, self.time = self.time.period_s, FactoryTime()
        self.time.period_s = period_s
        options = {key: x for key, x in self._wanted.options.items() if key != "from_tick"}
        self._wanted = self._wanted._replace(options=options)

    def _follow(self, connection: BlockingConnection) -> Iterator[Snapshot | None]:
        """Subscribe and give what comes, until something is raised."""
        connection.send(Subscribe(_NUMBER, self._wanted.filters, self._subscription()))
        dead_s = _keepalive_s(connection) * limits.KEEPALIVES_MISSED_MAX
        while True:
            message = connection.receive(self._wait_s(min(limits.KEEPALIVE_S, dead_s)))
            if message is None:
                self._check_patience()
                if connection.silent_s() >= dead_s:
                    raise ConnectionFailed(f"{self.node}: no keepalive for {dead_s:g} s")
                yield None
            elif isinstance(message, Snapshot):
                yield from self._take(message)
            elif isinstance(message, Pong):
                self.time.note(message.tick, time.monotonic())
            elif isinstance(message, Gap):
                self._on_gap(self.picture.take_gap(message))
            elif isinstance(message, Error):
                raise _refusal(message)
            elif isinstance(message, Goaway):
                self._on_goaway(message)

    def _take(self, chunk: Snapshot) -> Iterator[Snapshot]:
        """Apply a SNAPSHOT; give it if it is whole and there is something in it to show."""
        whole = self.picture.take(_kept(chunk, self._wanted.keep))
        if whole is None:
            return
        self.time.note(whole.tick if whole.now is None else whole.now, time.monotonic())
        if whole.kind == KEEPALIVE:
            yield whole
            return
        self._attempts = 0
        self._note_skipped(whole)
        if self._wanted.keep and whole.kind == DELTA and not whole.cells and not whole.removed:
            return
        yield whole
        self._be_patient_again()  # only now: the time that showing it took is not the node's

    def _note_skipped(self, whole: Snapshot) -> None:
        if whole.skipped and self._wanted.options.get("every_tick"):
            self._on_gap(f"gap: {whole.skipped} ticks are missing before tick {whole.tick}")
        elif whole.skipped:
            self._say(f"tick {whole.tick}: {whole.skipped} skipped", detail=True)

    def _subscription(self) -> dict[str, Any]:
        """Return the options of SUBSCRIBE: where to resume goes before where to begin."""
        if self.picture.tick is None:
            return self._wanted.options
        return {**self._wanted.options, "from_tick": self.picture.tick}

    def _on_gap(self, text: str) -> None:
        if self._wanted.strict:
            raise GapFound(text)
        self._say(text)

    def _on_goaway(self, goaway: Goaway) -> None:
        """Leave the node, as it asks, for the others that it names."""
        others = list(readable(goaway.alternatives))
        if not others:
            self._hold_off_s = min(goaway.hold_off_ms / 1000, limits.RECONNECT_S_MAX)
        self._addresses = _bounded([*others, *self._addresses])
        raise ConnectionFailed(f"{self.node}: the node says goodbye: {goaway.text}")

    # --- Connecting -------------------------------------------------------------------------

    def _connect(self) -> BlockingConnection:
        options: dict[str, Any] = {"now": True}
        if self._cluster is not None:
            options["cluster"] = self._cluster
        timeout_s = self._wait_s(limits.CONNECT_S_MAX)
        connection = connect(self._addresses, agent="rmf-cat", timeout_s=timeout_s, options=options)
        facts = connection.welcome
        self.node = f"{facts.get('node')} at {connection.address}"
        if type(facts.get("cluster")) is bytes and facts["cluster"]:  # b"": it waits for one
            self._cluster = facts["cluster"]
        if type(facts.get("period_ns")) is int and facts["period_ns"] > 0:
            self.time.period_s = facts["period_ns"] / limits.SECOND
        if type(facts.get("tick")) is int:
            self.time.note(facts["tick"], time.monotonic())
        self._learn(facts.get("nodes"))
        self._say(f"connected to {self.node}", detail=True)
        return connection

    def _learn(self, nodes: object) -> None:
        """Know the nodes that a WELCOME named, after those that were known before."""
        if type(nodes) is list:
            self._addresses = _bounded([*self._addresses, *readable(nodes)])

    def _put_last(self, address: str) -> None:
        """Try the others first: a node that was lost is likely to be gone, or in a bad way."""
        self._addresses.sort(key=lambda known: address_text(known) == address)

    def _connect_again(self) -> Generator[None, None, BlockingConnection]:
        """Try until a node welcomes us, with back-off and jitter; give None before each attempt."""
        while True:
            yield None
            self._check_patience()
            time.sleep(self._wait_s(max(self._back_off_s(), self._hold_off_s)))
            self._hold_off_s = 0.0
            try:
                connection = self._connect()
            except ConnectionFailed as exc:
                self._say(str(exc), detail=True)
            except Refused as exc:
                if not exc.retry:
                    raise
                self._say(str(exc), detail=True)
            else:
                self._say(f"resuming on {self.node}, after tick {self.picture.tick or 0}")
                return connection

    def _back_off_s(self) -> float:
        import random  # only those whose connection was lost pay for it

        longest_s: float = min(limits.RECONNECT_S_MIN * 2**self._attempts, limits.RECONNECT_S_MAX)
        self._attempts = min(self._attempts + 1, 16)
        return longest_s * random.uniform(0.5, 1.0)  # noqa: S311 -- jitter, no secret

    # --- Patience ---------------------------------------------------------------------------

    def _be_patient_again(self) -> None:
        if self._wanted.patience_s is not None:
            self._give_up_at = time.monotonic() + self._wanted.patience_s

    def _check_patience(self) -> None:
        if self._give_up_at is not None and time.monotonic() >= self._give_up_at:
            raise TimeoutError(f"no Snapshot came within {self._wanted.patience_s:g} s")

    def _wait_s(self, longest_s: float) -> float:
        """Return how long to wait for something, at most: not beyond our patience."""
        if self._give_up_at is None:
            return longest_s
        return min(longest_s, max(self._give_up_at - time.monotonic(), 0))


def _keepalive_s(connection: BlockingConnection) -> float:
    announced = connection.welcome.get("limits")
    keepalive_ms: object = announced.get("keepalive_ms") if type(announced) is dict else None
    if not isinstance(keepalive_ms, int) or keepalive_ms <= 0:
        return limits.KEEPALIVE_S
    return keepalive_ms / 1000


def _kept(chunk: Snapshot, keep: Callable[[str], bool] | None) -> Snapshot:
    if keep is None:
        return chunk
    return chunk._replace(
        cells=[cell for cell in chunk.cells if keep(cell.key)],
        removed=[pair for pair in chunk.removed if keep(pair[0])],
    )


def _bounded(addresses: list[Address]) -> list[Address]:
    return list(dict.fromkeys(addresses))[: limits.ADDRESSES_MAX]


def _refusal(message: Error) -> RmfError:
    if message.code == "not_retained":
        return GapFound(f"gap: {message.text}")
    return refused_by(message)
