"""Letters of the line that this node never saw, fetched from its peers after an install (R39).

A Checkpoint brings the World, not the letters of the Entries behind it, nor what people decided
about letters. Peers are asked one after the other, page by page, until one of them says that this
is all there ever was; what is here already stays as it is. Until then the DLQ says of itself that
it is not complete.

Errors: a peer that cannot be asked is passed over; all of them are asked again after a while, each
from where it had come to. Where the DLQ takes nothing any more, nothing is fetched.
Shutdown: cancel it; the next start finds the DLQ incomplete and goes on.
"""

from collections.abc import Sequence
from contextlib import aclosing, suppress
from functools import partial

import trio

from rmf import limits
from rmf.core.bag import Letter
from rmf.core.entry_kinds import TRIAGE_VERSION
from rmf.core.raft import wire
from rmf.core.raft.greetings import LETTERS, Acts, ActsAsk, Letters, LettersAsk, Own, hello_of
from rmf.core.triage import Act
from rmf.errors import ConnectionFailed, ProtocolFault, RmfError
from rmf.floor import log
from rmf.floor.asking import ask
from rmf.floor.doors import Doors
from rmf.floor.items import Fetched, FetchedStored, PeeringFacts, Through, WhoIsKnown
from rmf.floor.links.dialling import FAILURES, Dialled, Peer, dial
from rmf.floor.supervisor import InProgress

__all__ = ["Fetch", "LetterFetch"]


class LetterFetch:
    """The task. What it is to fetch, and how far it is, outlives a failure of it. Whom to ask says
    peering; what is found goes to the DLQ keeper."""

    def __init__(self, doors: Doors) -> None:
        self._doors = doors
        self._fetch: Fetch | None = None

    async def run(self, in_progress: InProgress) -> None:
        """Fetch what each core that was read may lack, until cancelled."""
        in_progress.free()  # what it holds, its peers still have
        while True:
            async with trio.open_nursery() as nursery:
                if self._fetch is not None:
                    nursery.start_soon(self._fetch.complete)
                through = await self._doors.restored_out.receive()
                self._fetch = Fetch(self._doors, through)
                nursery.cancel_scope.cancel()  # what it was to fetch is less than this


class _NoStore(RmfError):
    """The DLQ takes nothing any more: the node is on strike for it, or stops."""


class Fetch:
    """How far it is, for each peer and its data directory."""

    def __init__(self, doors: Doors, through: Through) -> None:
        self._stored = 0
        self._doors = doors
        self._through = through
        self._after: dict[tuple[str, bytes], int] = {}

    async def complete(self) -> None:
        """Fetch letters until the DLQ is complete, or takes nothing any more; return at once if it
        is."""
        try:
            if (await self._store()).is_complete:
                return
            while not await self.ask_all(await self._known()):  # noqa: ASYNC110 peers do not tell
                await trio.sleep(limits.LETTER_FETCH_S)
            await self._store(is_all=True)
        except _NoStore:
            return
        log.note("info", "letters_complete", fetched=self._stored)

    async def _store(
        self, letters: Sequence[Letter] = (), acts: Sequence[Act] = (), *, is_all: bool = False
    ) -> FetchedStored:
        """Have the DLQ keeper store these. Raises _NoStore."""
        stored: FetchedStored | None = None
        with suppress(trio.ClosedResourceError):
            stored = await ask(self._doors.letters, partial(Fetched, letters, acts, is_all))
        if stored is None:
            raise _NoStore
        self._stored += stored.new
        return stored

    async def _known(self) -> PeeringFacts | None:
        """Ask what this node says of itself and whom it links; None: no task knows that any
        more."""
        return await ask(self._doors.peering, WhoIsKnown)

    async def ask_all(self, known: PeeringFacts | None) -> bool:
        """Ask each peer for what it has; return whether one of them had everything."""
        if known is None:
            return False
        for peer in known.peers:
            try:
                if await self._ask(peer, known.own):
                    return True
            except FAILURES as exc:
                log.note("info", "letters_not_fetched", peer=peer.name, error=str(exc))
        return False

    async def _ask(self, peer: Peer, own: Own) -> bool:
        dialled = await dial(peer.address, hello_of(own, peer.name, peer.incarnation, LETTERS))
        async with aclosing(dialled.stream):
            place = (peer.name, dialled.welcome.incarnation)
            while True:
                page = await self._page(dialled, self._after.get(place, 0))
                mine = [letter._replace(node=own.node) for letter in page.letters]
                await self._store(mine)
                self._after[place] = page.after
                if not page.more:
                    break
            if dialled.welcome.cluster_version >= TRIAGE_VERSION:
                await self._ask_acts(dialled)
            return page.whole

    async def _ask_acts(self, dialled: Dialled) -> None:
        """Fetch what was decided about letters: after them, so that a peer that had all of these
        has all of those, and whole each time, for there are few."""
        after, more = 0, True
        while more:
            page = await self._answer(dialled, ActsAsk(after))
            if not isinstance(page, Acts) or (page.more and page.after <= after):
                raise ProtocolFault("wrong_shape", "ACTS_ASK is answered by the next ACTS")
            await self._store(acts=page.acts)
            after, more = page.after, page.more

    async def _page(self, dialled: Dialled, after: int) -> Letters:
        upto = self._through
        page = await self._answer(dialled, LettersAsk(after, upto.index, upto.term, upto.tick))
        if not isinstance(page, Letters) or (page.more and page.after <= after):
            raise ProtocolFault("wrong_shape", "LETTERS_ASK is answered by the next LETTERS")
        return page

    async def _answer(self, dialled: Dialled, ask: LettersAsk | ActsAsk) -> wire.Message:
        with trio.move_on_after(limits.PEER_SILENCE_S_MAX):
            try:
                await dialled.stream.send_all(wire.encode(ask))
            except (trio.BrokenResourceError, trio.ClosedResourceError) as exc:
                raise ConnectionFailed("the connection was lost") from exc
            return await dialled.hear()
        raise ConnectionFailed(f"no letters within {limits.PEER_SILENCE_S_MAX:g} s")
