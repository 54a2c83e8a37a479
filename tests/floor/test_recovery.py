"""From the disk to a state: the same as before, or a word that says why not."""

from collections.abc import Iterator
from pathlib import Path

import attrs
import cbor2
import pytest

from rmf import limits
from rmf.core.effects import RecordDraft
from rmf.core.entry import encode_entry
from rmf.core.record import ENTRY, GENESIS_CHAIN, chain_of
from rmf.core.state import State, head_of
from rmf.errors import Diverged, LedgerDamaged, StorageError
from rmf.floor.recovery import Recovered
from rmf.storage import checkpoint
from rmf.storage.checkpoint import CheckpointWriter
from rmf.storage.dlq_store import DlqStore
from rmf.storage.ledger import LedgerWriter
from rmf.storage.scan import LedgerScan
from rmf.storage.segments import GENESIS
from tests.core.kit import Playbook
from tests.floor.kit import BOOT_ID, Bench, bench
from tests.storage.ledger_kit import BOOT_NS, data_end_of, overwrite


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Bench]:
    with bench(tmp_path / "n1") as opened:
        yield opened


def recover(alone: Bench, boot_id: bytes = BOOT_ID) -> Recovered:
    recovered = alone.recover(boot_id)
    recovered.writer.close()
    return recovered


class Life:
    """What a core did, written into the bench's ledger; it may be continued."""

    def __init__(self, alone: Bench) -> None:
        self.alone = alone
        self.play = Playbook()
        self.probe = self.play.join("probe")
        self.bodies: list[bytes] = []
        self.segment_bytes = 4 * limits.KIB
        self._seq = 0

    def send(self, *topics: str, ttl_ms: int = 600_000) -> None:
        """A packet for each topic, a Tick each."""
        for topic in topics:
            self._seq += 1
            self.play.advance(1)
            self.probe.send(self._seq, topic=topic, ttl_ms=ttl_ms)

    def write(self, boot_id: bytes = BOOT_ID) -> State:
        """Write all that is new; return the state that it leads to."""
        directory = self.alone.directory
        scan = LedgerScan(directory.ledgers, directory.cluster, GENESIS)
        list(scan)
        writer = LedgerWriter(
            directory.ledger_path,
            scan,
            boot_id=boot_id,
            boot_ns=lambda: BOOT_NS,
            segment_bytes=self.segment_bytes,
            inline_segment_bytes=self.segment_bytes,
        )
        drafts = [x for x, _ in self.play.disk.durable if x.kind == ENTRY]
        new = [x.body for x in drafts[len(self.bodies) :]]
        self.bodies += new
        writer.append(self._drafts(new))
        writer.close()
        return self.play.core.committed

    def _drafts(self, bodies: list[bytes]) -> list[RecordDraft]:
        cluster = self.alone.directory.cluster
        chain, drafts = GENESIS_CHAIN, []
        for index, body in enumerate(self.bodies, start=1):
            chain = chain_of(chain, cluster, index, 1, body)
            drafts.append(RecordDraft(ENTRY, index, 1, chain, body))
        return drafts[len(drafts) - len(bodies) :]

    def checkpoint(self) -> Path:
        """Write a Checkpoint of what is written so far."""
        recovered = recover(self.alone)
        state, directory = recovered.state, self.alone.directory
        head = head_of(state) | {
            "cluster": directory.cluster,
            "clock": [state.tick, 12345],
            "chain": recovered.chain,
            "serial": recovered.writer.durable_through,
            "boot_id": BOOT_ID,
        }
        writer = CheckpointWriter(directory.checkpoints_path, directory.cluster, head)
        writer.add([(key, *cell[:-1]) for key, cell in state.world.scan()])
        return writer.finish()


def test_an_empty_directory_is_the_state_before_genesis(alone: Bench) -> None:
    found = recover(alone)
    assert (found.state.index, found.state.tick, found.term) == (0, 0, 0)
    assert (found.bridge, found.notes) == (None, [])


def test_what_is_durable_is_there_again(alone: Bench) -> None:
    life = Life(alone)
    life.send("cell/a", "keep/b", "poison", "count")
    state = life.write()
    found = recover(alone)
    assert found.state.digest() == state.digest()
    assert (found.state.index, found.state.tick) == (state.index, state.tick)
    assert found.state.latched == found.state.applied + found.state.bagged == 4
    row = found.state.producers.get("probe")
    assert row is not None
    assert row.last_seq == 4
    assert [key for key, _ in found.state.world.scan()] == ["cell/a", "count", "keep/b"]
    assert found.shelf.next_tick() == min(
        cell.expires for _, cell in found.state.world.scan() if cell.expires
    )


def test_the_boot_that_wrote_is_bridged_and_another_is_not(alone: Bench) -> None:
    life = Life(alone)
    life.send("cell/a")
    state = life.write()
    bridge = recover(alone).bridge
    assert bridge is not None
    assert bridge.base_tick == state.tick
    assert recover(alone, b"another boot  id").bridge is None
    life.send("cell/b")
    life.write(b"another boot  id")  # what stands last decides
    assert recover(alone).bridge is None
    assert recover(alone, b"another boot  id").bridge is not None


def test_letters_that_the_dlq_has_not_got_are_stored_once(alone: Bench) -> None:
    life = Life(alone)
    life.send("poison", "cell/a", "poison")
    life.write()
    recover(alone)
    letters = alone.letters()
    assert [x.seq for x in letters] == [1, 3]
    assert alone.store.cursor == life.play.core.committed.index
    assert letters == life.play.letters
    recover(alone)
    assert len(alone.letters()) == 2


def test_a_torn_tail_is_cut_and_said(alone: Bench) -> None:
    life = Life(alone)
    life.send("cell/a")
    state = life.write()
    (segment,) = alone.directory.ledger_path.glob("*.seg")
    end = data_end_of(segment)
    overwrite(segment, end, b"\x00\x00\x01\x00half a record")
    found = recover(alone)
    assert found.state.digest() == state.digest()
    ((event, fields),) = found.notes
    assert event == "torn_tail_cut"
    assert (fields["file"], fields["offset"]) == (str(segment), end)
    assert recover(alone).notes == []


def test_damage_that_is_no_torn_tail_is_never_cut(alone: Bench) -> None:
    life = Life(alone)
    life.send("cell/a")
    life.write()
    life.send("cell/b")
    life.write()
    (segment,) = alone.directory.ledger_path.glob("*.seg")
    before = segment.read_bytes()
    overwrite(segment, data_end_of(segment) // 3, b"\xff")
    with pytest.raises(LedgerDamaged, match=segment.name):
        recover(alone)
    assert len(before) == len(segment.read_bytes())
    overwrite(segment, 0, before)
    recover(alone)


def test_an_entry_that_states_another_digest_ends_it(alone: Bench) -> None:
    life = Life(alone)
    life.send("cell/a")
    life.write()
    life.send("cell/b")
    draft, entry = life.play.disk.entries[-1]
    lie = encode_entry(attrs.evolve(entry, digest=b"x" * 16))
    life.play.disk.durable[-1] = (attrs.evolve(draft, body=lie), 0)
    life.write()
    with pytest.raises(Diverged, match=rf"Entry {draft.index} .*states the digest 7878"):
        recover(alone)


def test_an_entry_of_a_newer_kind_names_what_to_do(alone: Bench) -> None:
    life = Life(alone)
    life.send("cell/a")
    life.write()
    life.send("cell/b")
    draft, _ = life.play.disk.entries[-1]
    newer = cbor2.loads(draft.body)
    newer[0] = 99
    life.play.disk.durable[-1] = (attrs.evolve(draft, body=cbor2.dumps(newer)), 0)
    life.write()
    with pytest.raises(StorageError, match=r"Start the version of RMF that wrote it, or a newer"):
        recover(alone)


# --- Checkpoints ------------------------------------------------------------------------------


def test_it_begins_at_the_newest_checkpoint(alone: Bench) -> None:
    life = Life(alone)
    life.send("cell/a", "cell/b")
    life.write()
    path = life.checkpoint()
    life.send("cell/c")
    state = life.write()
    found = recover(alone)
    assert found.state.digest() == state.digest()
    assert found.notes == []
    assert checkpoint.index_of(path) < state.index


def test_with_nothing_behind_it_the_checkpoints_clock_bridges(alone: Bench) -> None:
    life = Life(alone)
    life.send("cell/a")
    state = life.write()
    life.checkpoint()
    bridge = recover(alone).bridge
    assert bridge is not None
    assert (bridge.base_tick, bridge.base_ns) == (state.tick, 12345)
    assert recover(alone, b"another boot  id").bridge is None


@pytest.mark.parametrize("from_end", [False, True], ids=["head", "footer"])
def test_a_damaged_checkpoint_is_said_and_the_one_before_it_taken(
    alone: Bench, from_end: bool
) -> None:
    life = Life(alone)
    life.send("cell/a")
    life.write()
    life.checkpoint()
    life.send("cell/b")
    state = life.write()
    newest = life.checkpoint()
    overwrite(newest, newest.stat().st_size - 4 if from_end else 40, b"\xff\xff")
    found = recover(alone)
    assert found.state.digest() == state.digest()
    ((event, fields),) = found.notes
    assert event == "checkpoint_damaged"
    assert newest.name in str(fields["error"])


def lose_dlq(alone: Bench) -> None:
    """The DLQ is gone, and with it its cursor."""
    alone.store.close()
    for path in alone.data.glob("dlq.sqlite*"):
        path.unlink()
    cluster = alone.directory.cluster
    alone.store = DlqStore.open(alone.directory.dlq_path, cluster=cluster, node="n1")


def test_letters_before_a_checkpoint_are_stored_too_if_the_dlq_lags(alone: Bench) -> None:
    """A crash between Checkpoint and DLQ: the ledger behind the cursor is still there (R39)."""
    life = Life(alone)
    life.send("poison", "cell/a")
    life.write()
    life.checkpoint()
    life.send("poison")
    state = life.write()
    lose_dlq(alone)
    found = recover(alone)
    assert found.state.digest() == state.digest()
    assert [x.seq for x in alone.letters()] == [1, 3]
    assert alone.store.cursor == state.index
    assert alone.store.stats().complete


def test_letters_that_are_gone_with_the_ledger_leave_the_dlq_incomplete(alone: Bench) -> None:
    life = Life(alone)
    life.send("poison", *["cell/a"] * 100)
    life.write()
    life.send("cell/b")
    life.write()
    life.checkpoint()
    life.send("poison")
    state = life.write()
    first, _ = sorted(alone.directory.ledger_path.glob("*.seg"))
    first.unlink()
    assert recover(alone).state.digest() == state.digest()
    assert alone.store.stats().complete  # it had read them all
    lose_dlq(alone)
    found = recover(alone)
    assert found.state.digest() == state.digest()
    assert [x.seq for x in alone.letters()] == [103]
    assert not alone.store.stats().complete
    assert [event for event, _ in found.notes] == ["letters_missing"]
