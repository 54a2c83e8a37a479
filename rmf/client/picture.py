"""The picture a subscriber holds: SNAPSHOTs in, the selected part of the World out (R35, R36).

Sans-IO, and without attrs, for `rmf-cat`. It decides when the chunks of one Tick are complete, how
a delta changes the picture, and whether what came keeps the promises of a subscription: ordered,
unique, atomic per Tick, a complete start. It knows messages, no sockets, no clock and no output.

A position means something in its own history only: where a factory was restored from an older copy,
its ticks go on, and its Entries are others. So who resumes receives where it stood, and compares
the Entry's index and digest with its own; what does not fit is another history, and the picture
void.

A Tick that is too big for one frame comes in chunks; all but the last say `more`. Nothing of it is
applied before it is whole, so a connection lost in mid-Tick costs nothing: `lost` drops the
chunks, and the next node is asked to go on behind `tick`.
"""

from operator import itemgetter

from rmf import limits
from rmf.core.messages import DELTA, FULL, KEEPALIVE, Gap, Snapshot, WireCell
from rmf.errors import ProtocolFault, RmfError

__all__ = ["ClientPicture", "HistoryChanged"]

_key_of = itemgetter(0)  # of a cell


class HistoryChanged(RmfError):
    """The factory has another history than the picture was made from: it was restored. A client
    that holds the picture drops it, and subscribes as one that has none."""


class ClientPicture:
    """What one subscription has shown so far.

    `cells`: key to cell. `tick`, `term`, `index`, `digest`, `live`: of the last whole Snapshot or
    keepalive; `tick` is None before the first. `complete` is False until a full Snapshot came: a
    subscription `from_tick` may begin with deltas to a picture that is not here. `skipped_ticks`
    and `gaps` count what was conflated and what was lost for good. `now` is the factory's tick when
    the last frame was made, if the node said it.

    Invariant: `tick` only rises, across connections too.
    """

    def __init__(self) -> None:
        self.cells: dict[str, WireCell] = {}
        self.term = 0
        self.tick: int | None = None
        self.index = 0
        self.digest = b""
        self.live = False
        self.now: int | None = None
        self.complete = False
        self.skipped_ticks = 0
        self.gaps = 0
        self._chunks: list[Snapshot] = []
        self._resumed = False
        self._lacking = 0  # keepalives in a row of a live node that has not the Tick shown here

    def take(self, chunk: Snapshot) -> Snapshot | None:
        """Take in a SNAPSHOT; return the Tick's Snapshot once it is whole and applied.

        None: more chunks are to come, or, on a resumed subscription, this Tick was shown before.
        Raises ProtocolFault when the node breaks a promise of the subscription, and HistoryChanged.
        """
        _check_kind(chunk)
        if self._chunks:
            _check_chunk(self._chunks[0], chunk)
        self._chunks.append(chunk)
        if chunk.more:
            return None
        whole = _joined(self._chunks)
        self._chunks = []
        self.now = whole.now
        if whole.kind == KEEPALIVE and not whole.entry_index:
            return self._waits(whole)
        self._check_history(whole)
        if self._resumed and self._is_behind(whole):
            return self._restated(whole)
        self._check_order(whole)
        self._apply(whole)
        return whole

    def take_gap(self, gap: Gap) -> str:
        """Note that Ticks before `gap.oldest` are lost for good; return that as a sentence."""
        self.gaps += 1
        self.complete = False
        shown = "nothing was shown yet" if self.tick is None else f"shown up to tick {self.tick}"
        return f"gap: ticks before {gap.oldest} are no longer retained; {shown}"

    def lost(self) -> None:
        """Note that the connection ended; the next one goes on behind `tick`, if there is one."""
        self.live = False
        self._chunks = []
        self._resumed = self.tick is not None

    def _waits(self, whole: Snapshot) -> Snapshot:
        """Take the keepalive of a node that has no Entry yet, or not the one shown here. Who lags
        is not live: a node that is, and does not come to have it, has another history."""
        self.live = whole.live
        if self.tick is None:
            return whole
        self._lacking = self._lacking + 1 if whole.live else 0
        if self._lacking >= limits.LACKING_KEEPALIVES_MAX:
            raise HistoryChanged(
                f"the factory's history is another one: the node is live, and has no tick"
                f" {self.tick}, up to which was shown"
            )
        return self._as_shown(whole)

    def _check_history(self, whole: Snapshot) -> None:
        self._lacking = 0
        if self.tick is None or not self.index or whole.tick < self.tick:
            return
        entry, shown = (whole.entry_index, whole.digest), (self.index, self.digest)
        fits = entry == shown or (whole.tick > self.tick and whole.entry_index > self.index)
        if not fits:
            raise HistoryChanged(
                f"the factory's history is another one: Entry {self.index} of tick {self.tick} was"
                f" shown, the node has Entry {whole.entry_index} at tick {whole.tick}"
            )

    def _is_behind(self, whole: Snapshot) -> bool:
        """Whether a resumed node repeats what was shown, or lags and says that it still waits."""
        if self.tick is None or whole.kind == FULL:
            return False
        return whole.tick < self.tick or (whole.tick == self.tick and whole.kind == DELTA)

    def _restated(self, whole: Snapshot) -> Snapshot | None:
        """Return a lagging node's keepalive as one of the picture held here; drop its deltas."""
        if whole.kind == DELTA:
            return None
        self.live = whole.live
        return self._as_shown(whole)

    def _as_shown(self, whole: Snapshot) -> Snapshot:
        """Return a keepalive as one of the picture held here."""
        assert self.tick is not None
        return whole._replace(
            term=self.term, tick=self.tick, entry_index=self.index, digest=self.digest
        )

    def _check_order(self, whole: Snapshot) -> None:
        if self.tick is None:
            return
        repeats = whole.kind == KEEPALIVE or (self._resumed and whole.kind == FULL)
        if whole.tick < self.tick or (whole.tick == self.tick and not repeats):
            raise ProtocolFault(
                "wrong_shape",
                f"SNAPSHOT: tick {whole.tick} after tick {self.tick}; the ticks of a subscription"
                " only rise (R35)",
            )

    def _apply(self, whole: Snapshot) -> None:
        self.term, self.tick, self.index = whole.term, whole.tick, whole.entry_index
        self.digest, self.live = whole.digest, whole.live
        self.skipped_ticks += whole.skipped
        if whole.kind == KEEPALIVE:
            return
        self._resumed = False
        if whole.kind == FULL:
            self.cells = {}
            self.complete = True
        for key, _reason in whole.removed:
            self.cells.pop(key, None)
        self.cells.update(zip(map(_key_of, whole.cells), whole.cells, strict=True))


def _check_kind(chunk: Snapshot) -> None:
    if chunk.kind not in {FULL, DELTA, KEEPALIVE}:
        raise ProtocolFault("wrong_shape", f"SNAPSHOT: expected a kind of 0 to 2, not {chunk.kind}")
    if any(len(pair) != 2 for pair in chunk.removed):
        raise ProtocolFault("wrong_shape", "SNAPSHOT: `removed` holds pairs of key and reason")


def _check_chunk(first: Snapshot, chunk: Snapshot) -> None:
    """Chunks of one Tick say the same of it: a Tick is never split (atomic)."""
    if (chunk.kind, chunk.term, chunk.tick) != (first.kind, first.term, first.tick):
        raise ProtocolFault(
            "wrong_shape",
            f"SNAPSHOT: a chunk of tick {chunk.tick}, kind {chunk.kind}, among those of tick"
            f" {first.tick}, kind {first.kind}",
        )


def _joined(chunks: list[Snapshot]) -> Snapshot:
    """Return one Snapshot that holds what the chunks hold; each chunk states the same skip."""
    last = chunks[-1]
    if len(chunks) == 1:
        return last
    return last._replace(
        skipped=max(chunk.skipped for chunk in chunks),
        cells=[cell for chunk in chunks for cell in chunk.cells],
        removed=[pair for chunk in chunks for pair in chunk.removed],
    )
