"""storage/checkpoint: whole or not at all, and never used before it is verified (R25)."""

import hashlib
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmf import limits
from rmf.core.entry_kinds import CLUSTER_VERSION
from rmf.core.producer_table import OutcomeRun, Table, marked_row
from rmf.core.table_slices import table_in
from rmf.errors import CheckpointDamaged, DiskFailed, ForeignDirectory, StorageError
from rmf.storage.checkpoint import (
    CellRow,
    CheckpointWriter,
    head_of,
    load,
    newest,
    prune,
    rewrite,
    verified,
)
from rmf.storage.checkpoint_layout import (
    DIGEST_BYTES,
    FOOTER,
    FORMAT_SLICED,
    FRAME_BYTES_MAX,
    base_of,
)
from rmf.storage.framing import FrameReader, frame_of
from rmf.storage.segments import LedgerPlace
from tests.storage.crashes import crash_states
from tests.storage.ledger_kit import file_bytes_limit

CLUSTER = b"c" * 16


def head(index: int = 7, **more: Any) -> dict[str, Any]:
    where = {"serial": index + 2, "index": index, "term": 1, "chain": b"h" * 16}
    return where | {"version": CLUSTER_VERSION} | more


def table_of(producers: int, runs: int) -> Table:
    """Producers of so many runs each, the first packet of each run bagged."""
    rows = {}
    for name in (f"probe-{n}" for n in range(producers)):
        told = tuple(OutcomeRun(1 + 2 * n, 2, 3, 9 + n, 0, ((0, "expired"),)) for n in range(runs))
        rows[name] = marked_row(name, 4, 2 * runs, "id", False, 9 + runs, told)
    return Table.of(rows)


def cell(key: str, value: bytes = b"\x01") -> CellRow:
    return (key, value, 1, 2, 3, "probe", 1_700_000_000_000_000_000, 9)


def written(
    path: Path,
    slices: list[list[CellRow]],
    index: int = 7,
    table: Table | None = None,
    **more: Any,
) -> Path:
    writer = CheckpointWriter(path, CLUSTER, head(index, **more), table)
    for cells in slices:
        writer.add(cells)
    return writer.finish()


def read(path: Path) -> tuple[dict[str, Any], list[CellRow]]:
    found = load(path, CLUSTER)
    return found.head, list(found.cells)


def test_what_was_written_is_loaded(tmp_path: Path) -> None:
    slices = [[cell("a"), cell("b", b"\x02" * 300)], [], [cell("c")]]
    path = written(tmp_path, slices, tables={"producers": [["p", 1, b"x"]]}, digest=b"d")
    assert path == tmp_path / "00000000000000000007.ckpt"
    assert list(tmp_path.iterdir()) == [path]
    expected = head(tables={"producers": [["p", 1, b"x"]]}, digest=b"d")
    assert read(path) == (expected, [cell("a"), cell("b", b"\x02" * 300), cell("c")])
    assert head_of(path, CLUSTER) == expected
    assert base_of(expected, path) == LedgerPlace(9, 7, 1, b"h" * 16)


def test_its_content_names_what_it_holds_and_where_it_stands(tmp_path: Path) -> None:
    """Raft-cases 43: what is applied and how far go together."""
    found = [
        verified(written(tmp_path, slices, **more), CLUSTER)
        for slices, more in (
            ([[cell("a")]], {}),
            ([[cell("a")]], {}),
            ([[cell("a", b"\x02")]], {}),
            ([[cell("a")]], {"index": 8}),
            ([[cell("a")]], {"clock": None}),
        )
    ]
    contents = [x.content for x in found]
    assert contents[0] == contents[1]
    assert len(set(contents)) == 4
    assert {len(content) for content in contents} == {16}
    assert (found[0].head, found[0].cells) == (head(), 1)


def test_wherever_a_crash_cuts_what_is_applied_and_how_far_are_of_one_time(tmp_path: Path) -> None:
    """Raft-cases 43: a Checkpoint is the one before or the next one, with its own place."""
    path = tmp_path / "checkpoints"
    path.mkdir()
    (tmp_path / "archive").mkdir()
    old, new = [cell("a", b"\x01")], [cell("a", b"\x02"), cell("b")]
    written(path, [old], index=7)

    def go_on() -> None:
        written(path, [new[:1], new[1:]], index=9)
        prune(path, tmp_path / "archive", keep=1)

    seen = []
    for state in crash_states(path, tmp_path / "states", go_on):
        top = newest(state)[0]
        found, cells = read(top)
        assert (found, cells) in ((head(7), old), (head(9), new))
        assert verified(top, CLUSTER).head == found
        seen.append(found["index"])
    assert (seen[0], seen[-1]) == (7, 9)
    assert seen == sorted(seen)


def test_written_again_it_has_another_head_and_the_same_cells(tmp_path: Path) -> None:
    slices = [[cell("a"), cell("b", b"\x02" * 300)], [cell("c")]]
    path = written(tmp_path, slices, clock=[1, 2])
    (tmp_path / "anew").mkdir()
    anew = rewrite(path, tmp_path / "anew", CLUSTER, head(serial=99))
    assert read(anew) == (head(serial=99), read(path)[1])
    assert verified(anew, CLUSTER).cells == 3


def test_a_checkpoint_that_was_damaged_since_is_not_written_again(tmp_path: Path) -> None:
    path = written(tmp_path, [[cell("a")], [cell("b" * 100)]])
    content = bytearray(path.read_bytes())
    content[content.index(b"bbb")] ^= 1
    path.write_bytes(content)
    (tmp_path / "anew").mkdir()
    with pytest.raises(CheckpointDamaged):
        rewrite(path, tmp_path / "anew", CLUSTER, head())
    assert list((tmp_path / "anew").iterdir()) == []


# --- The producers' table ------------------------------------------------------------------------


@pytest.mark.parametrize("version", [1, 3, CLUSTER_VERSION])
@pytest.mark.parametrize("producers", [0, 1, 7])
def test_the_table_of_producers_comes_back_whatever_the_clusters_version(
    tmp_path: Path, version: int, producers: int
) -> None:
    table = table_of(producers, 2 * limits.OUTCOME_RUNS_KEPT)
    writer = CheckpointWriter(tmp_path, CLUSTER, head(version=version), table)
    writer.add([cell("a"), cell("b")])
    found = load(writer.finish(), CLUSTER)
    assert found.head == head(version=version)
    restored = table_in(found.producers)
    assert (restored.rows, restored.total) == (table.rows, table.total)
    assert list(found.cells) == [cell("a"), cell("b")]


def test_no_slice_of_the_table_holds_more_than_its_bound(tmp_path: Path) -> None:
    """R25, R45: in one piece it would hold everybody up."""
    table = table_of(3, limits.CHECKPOINT_SLICE_RUNS)
    told = list(load(written(tmp_path, [], table=table), CLUSTER).producers)
    sizes = [sum(1 + sum(1 + len(run[5]) for run in row[6]) for row in rows) for rows in told]
    assert len(sizes) > 3
    assert max(sizes) <= limits.CHECKPOINT_SLICE_RUNS + 3  # a row told again, a run and its bag


def test_before_all_can_read_slices_the_head_holds_the_table_as_it_always_did(
    tmp_path: Path,
) -> None:
    """R30: a Checkpoint is sent as it is to peers of an older release."""
    table = table_of(2, 3)
    path = written(tmp_path, [[cell("a")]], table=table, version=3)
    rows = [[name, *row[:5], [list(run) for run in row.runs]] for name, row in table.rows.items()]
    old = head(version=3) | {"producers": sorted(rows)}
    frame = frame_of(cbor2.dumps([0, "rmf-checkpoint", 1, CLUSTER, 7, old]))
    assert path.read_bytes().startswith(frame)


@pytest.mark.parametrize("version", [3, CLUSTER_VERSION])
def test_written_again_a_checkpoint_keeps_its_table(tmp_path: Path, version: int) -> None:
    table = table_of(5, 300)
    path = written(tmp_path, [[cell("a")], [cell("b")]], table=table, version=version)
    (tmp_path / "anew").mkdir()
    anew = rewrite(path, tmp_path / "anew", CLUSTER, head_of(path, CLUSTER) | {"serial": 99})
    found = load(anew, CLUSTER)
    assert found.head == head(version=version) | {"serial": 99}
    assert table_in(found.producers).rows == table.rows
    assert list(found.cells) == [cell("a"), cell("b")]


def test_a_slice_of_the_table_that_is_left_out_is_found(tmp_path: Path) -> None:
    path = written(tmp_path, [[cell("a")]], table=table_of(4, limits.OUTCOME_RUNS_KEPT))
    content = path.read_bytes()
    first, *_ = (frame_of(cbor2.dumps([3, rows])) for rows in load(path, CLUSTER).producers)
    assert first in content
    path.write_bytes(content.replace(first, b""))
    with pytest.raises(CheckpointDamaged, match="digest"):
        load(path, CLUSTER)


def test_a_checkpoint_of_a_later_format_is_no_damage(tmp_path: Path) -> None:
    path = written(tmp_path, [])
    frame = frame_of(cbor2.dumps([0, "rmf-checkpoint", FORMAT_SLICED + 1, CLUSTER, 7, {}]))
    path.write_bytes(frame)
    with pytest.raises(StorageError, match="format 3, this version reads up to 2") as told:
        load(path, CLUSTER)
    assert not isinstance(told.value, CheckpointDamaged)


# --- Edges, and damage --------------------------------------------------------------------------


def test_an_empty_world_has_a_checkpoint_too(tmp_path: Path) -> None:
    assert read(written(tmp_path, [])) == (head(), [])


@given(st.dictionaries(st.text(max_size=5), st.binary(max_size=50)), st.integers(1, 4))
@settings(deadline=None, max_examples=40)
def test_any_cells_in_any_slices_come_back(world: dict[str, bytes], size: int) -> None:
    cells = [cell(key, value) for key, value in sorted(world.items())]
    slices = [cells[n : n + size] for n in range(0, len(cells), size)]
    with TemporaryDirectory() as path:
        assert read(written(Path(path), slices))[1] == cells


def test_big_cells_are_cut_into_slices_of_their_own(tmp_path: Path) -> None:
    cells = [cell(key, key.encode() * 700_000) for key in "abcde"]
    path = written(tmp_path, [cells])
    assert read(path)[1] == cells
    # Two cells fill a slice: the third begins behind four of them, and the place says so.
    with pytest.raises(CheckpointDamaged, match=r"byte 28\d{5}:"):
        flipped(path, path.stat().st_size - 100_000)


def flipped(path: Path, offset: int, bit: int = 0) -> None:
    """Load with one bit flipped, then put it right again."""
    content = path.read_bytes()
    changed = bytearray(content)
    changed[offset] ^= 1 << bit
    path.write_bytes(changed)
    try:
        read(path)
    finally:
        path.write_bytes(content)


@pytest.mark.slow
def test_a_flipped_bit_anywhere_is_found(tmp_path: Path) -> None:
    path = written(tmp_path, [[cell("a"), cell("b")], [cell("c")]])
    for offset in range(path.stat().st_size):
        with pytest.raises(CheckpointDamaged, match=rf"{path}, byte \d+: "):
            flipped(path, offset, offset % 8)
    assert len(read(path)[1]) == 3


@pytest.mark.slow
def test_a_file_cut_short_or_lengthened_anywhere_is_found(tmp_path: Path) -> None:
    path = written(tmp_path, [[cell("a"), cell("b")], [cell("c")]])
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(CheckpointDamaged):
            load(path, CLUSTER)
    for more in (b"\0", b"x", content[-60:]):
        path.write_bytes(content + more)
        with pytest.raises(CheckpointDamaged):
            load(path, CLUSTER)


def test_slices_left_out_or_swapped_are_found_though_each_is_whole(tmp_path: Path) -> None:
    path = written(tmp_path, [[cell("a")], [cell("b")], [cell("c")]])
    content = path.read_bytes()
    a, b, c = (frame_of(cbor2.dumps([1, [cell(key)]])) for key in "abc")
    assert a + b + c in content
    start, end = content.index(a), content.index(c) + len(c)
    for changed in (a + c, a + c + b, a + a + b + c, b + c, b""):
        path.write_bytes(content[:start] + changed + content[end:])
        with pytest.raises(CheckpointDamaged, match="digest"):
            load(path, CLUSTER)


def frames_of(path: Path) -> list[bytes]:
    """Return the bodies of the frames of a Checkpoint."""
    found, size = list[bytes](), path.stat().st_size
    with path.open("rb", buffering=0) as file:
        reader, end = FrameReader(file.fileno(), FRAME_BYTES_MAX), 0
        while end < size:
            found.append(bytes(reader.body_at(end) or b""))
            end = reader.end
    return found


def test_a_writer_does_not_write_cells_out_of_order(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="no order"):
        written(tmp_path, [[cell("b")], [cell("a")]])
    with pytest.raises(AssertionError, match="no order"):
        written(tmp_path, [[cell("a"), cell("a")]])


def test_cells_out_of_order_are_found(tmp_path: Path) -> None:
    path = written(tmp_path, [[cell("a")], [cell("b")]])
    *before, one, two, _ = frames_of(path)
    bodies = [*before, two, one]
    digest = hashlib.blake2b(b"".join(bodies), digest_size=DIGEST_BYTES).digest()
    footer = cbor2.dumps([FOOTER, digest, len(bodies) - 1, 2])
    path.write_bytes(b"".join(map(frame_of, [*bodies, footer])))
    with pytest.raises(CheckpointDamaged, match="no order"):
        read(path)


def test_a_renamed_checkpoint_is_found(tmp_path: Path) -> None:
    path = written(tmp_path, [[cell("a")]])
    other = path.rename(path.with_name(f"{8:020d}.ckpt"))
    with pytest.raises(CheckpointDamaged, match="Entry 7, renamed"):
        load(other, CLUSTER)


def test_the_checkpoint_of_another_cluster_is_found(tmp_path: Path) -> None:
    path = written(tmp_path, [[cell("a")]])
    with pytest.raises(ForeignDirectory, match=(b"d" * 16).hex()):
        load(path, b"d" * 16)


def test_a_checkpoint_that_is_gone_is_damage(tmp_path: Path) -> None:
    with pytest.raises(CheckpointDamaged, match="No such file"):
        load(tmp_path / f"{8:020d}.ckpt", CLUSTER)


def test_a_head_that_does_not_say_where_it_stands_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointDamaged, match="where it stands"):
        CheckpointWriter(tmp_path, CLUSTER, {"index": 7})
    assert list(tmp_path.iterdir()) == []


def test_an_aborted_checkpoint_leaves_nothing(tmp_path: Path) -> None:
    writer = CheckpointWriter(tmp_path, CLUSTER, head())
    writer.add([cell("a")])
    writer.abort()
    writer.abort()
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fails_leaves_nothing(tmp_path: Path) -> None:
    writer = CheckpointWriter(tmp_path, CLUSTER, head())
    with file_bytes_limit(1000), pytest.raises(DiskFailed):
        writer.add([cell("a", b"x" * 2000)])
    assert list(tmp_path.iterdir()) == []


def test_what_the_disk_does_not_hold_is_not_given_a_name(tmp_path: Path) -> None:
    writer = CheckpointWriter(tmp_path, CLUSTER, head())
    writer.add([cell("a"), cell("b")])
    tmp = next(tmp_path.iterdir())
    with tmp.open("r+b") as file:
        file.seek(50)
        file.write(b"\xff")
    with pytest.raises(CheckpointDamaged):
        writer.finish()
    assert list(tmp_path.iterdir()) == []


def test_the_newest_come_first_and_the_others_go_to_the_archive(tmp_path: Path) -> None:
    place, archive = tmp_path / "checkpoints", tmp_path / "archive"
    place.mkdir()
    archive.mkdir()
    paths = [written(place, [], index) for index in (9, 100, 11, 1000)]
    (place / "notes.txt").write_text("a file of somebody's")
    assert [int(path.stem) for path in newest(place)] == [1000, 100, 11, 9]
    assert [int(path.stem) for path in prune(place, archive, keep=2)] == [11, 9]
    assert newest(place) == [paths[3], paths[1]]
    assert [int(path.stem) for path in newest(place, archive)] == [1000, 100, 11, 9]
    assert prune(place, archive, keep=2) == []
