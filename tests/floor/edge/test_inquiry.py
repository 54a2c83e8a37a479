"""QUERY about the DLQ: pages in order, one END, whatever happens."""

from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import trio
import trio.testing

from rmf.core import codec
from rmf.core import messages as m
from rmf.core.bag import Evidence
from rmf.core.letters import edge_letter
from rmf.floor.doors import connection_doors
from rmf.floor.edge.inquiry import Inquiry
from rmf.storage.directory import DataDirectory
from tests.floor.kit import Bench
from tests.protocol.cddl_check import assert_conforms


def fill(alone: Bench, letters: int) -> list[str]:
    evidence = Evidence("no_seq", "no seq", "")
    ids = alone.store.reserve_edge_ids(letters)
    bare = edge_letter("malformed", "edge", "n1", b"x" * 1000, evidence, 7, producer="probe")
    alone.store.put_edge([bare._replace(id=name) for name in ids])
    return ids


async def answer(alone: Bench, subject: str, **args: Any) -> list[m.Message]:
    _, _, pages, pages_out = connection_doors()
    found = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(Inquiry(alone.directory.dlq_path), m.Query(5, subject, args), pages)
        async for page in pages_out:
            assert_conforms(page[4:])
            found.append(codec.decode(page[4:]))
    return found


async def test_letters_come_in_order_and_one_end(alone: Bench) -> None:
    ids = fill(alone, 30)
    *items, end = await answer(alone, "dlq.list")
    assert end == m.End(5, None, None)
    assert [item.body["letter"] for item in items if isinstance(item, m.Item)] == ids
    assert len(items) == 30


async def test_a_damaged_row_costs_one_letter_and_is_named(alone: Bench) -> None:
    """S19: it is no failure of the connection that asks."""
    ids = fill(alone, 3)
    with closing(apsw.Connection(str(alone.directory.dlq_path))) as db:
        for row, reads in ((1, "{"), (2, "[" * 100_000)):
            db.execute("UPDATE letters SET reads = ? WHERE row = ?", (reads, row))
    *items, end = await answer(alone, "dlq.list")
    assert [item.body["letter"] for item in items if isinstance(item, m.Item)] == ids[2:]
    assert isinstance(end, m.End)
    assert (end.code, "row = 1 cannot be read" in (end.text or "")) == ("internal", True)
    (end,) = await answer(alone, "dlq.show", letter=ids[1])
    assert isinstance(end, m.End)
    assert (end.code, f"{ids[1]} cannot be read" in (end.text or "")) == ("internal", True)


async def test_what_is_not_asked_well_is_named(alone: Bench) -> None:
    for subject, args, code in (
        ("dlq.lst", {}, "unknown_query"),
        ("weather", {}, "unknown_query"),
        ("dlq.list", {"limt": 3}, "wrong_shape"),
        ("dlq.list", {"limit": "many"}, "wrong_shape"),
        ("dlq.show", {}, "wrong_shape"),
    ):
        (end,) = await answer(alone, subject, **args)
        assert isinstance(end, m.End)
        assert (end.request, end.code) == (5, code)


async def test_a_dlq_that_cannot_be_read_is_said(alone: Bench) -> None:
    fill(alone, 3)
    elsewhere = alone.directory.dlq_path.rename(alone.data / "elsewhere")
    (end,) = await answer(alone, "dlq.stats")
    elsewhere.rename(alone.directory.dlq_path)
    assert isinstance(end, m.End)
    assert end.code == "internal"
    assert "no such file" in str(end.text)


async def test_a_node_that_belongs_to_no_cluster_yet_says_so(tmp_path: Path) -> None:
    """P20: it has no DLQ, which is no failure."""
    _, _, pages, pages_out = connection_doors()
    with closing(DataDirectory.open(tmp_path, node="n1", found=False)) as unfounded:
        inquiry = Inquiry(unfounded.dlq_path, unfounded)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(inquiry, m.Query(5, "dlq.stats", {}), pages)
            end = codec.decode((await pages_out.receive())[4:])
    assert isinstance(end, m.End)
    assert (end.request, end.code) == (5, "not_ready")
    assert "belongs to no cluster yet" in (end.text or "")


async def test_a_client_that_leaves_ends_the_reading(alone: Bench) -> None:
    fill(alone, 30)
    _, _, pages, pages_out = connection_doors()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(Inquiry(alone.directory.dlq_path), m.Query(5, "dlq.list", {}), pages)
        await pages_out.receive()
        pages_out.close()
    assert pages.statistics().open_send_channels == 0


async def test_a_client_that_does_not_read_holds_a_reader_and_no_other(alone: Bench) -> None:
    fill(alone, 30)
    _, _, pages, _pages_out = connection_doors()
    inquire = Inquiry(alone.directory.dlq_path)
    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(inquire, m.Query(5, "dlq.list", {}), pages.clone())
        await trio.testing.wait_all_tasks_blocked(0.05)
        with trio.fail_after(5):
            assert len(await answer(alone, "dlq.list")) == 31
        fill(alone, 1)  # and the store takes letters meanwhile
        nursery.cancel_scope.cancel()


async def test_a_backup_is_facts_first_and_then_its_parts(alone: Bench) -> None:
    """The Checkpoint must be there; how its parts are read, tests/storage/test_backup_source."""
    refused = await answer(alone, "backup", index=1)
    assert [end.code for end in refused if isinstance(end, m.End)] == ["unknown_query"]
    _, _, pages, pages_out = connection_doors()
    inquire = Inquiry(alone.directory.dlq_path, alone.directory)
    found: list[m.Message] = []
    for args, code in (({"index": 1}, "not_ready"), ({"index": "x"}, "wrong_shape"), ({}, "wrong")):
        _, _, pages, pages_out = connection_doors()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(inquire, m.Query(5, "backup", args), pages)
            found += [codec.decode(page[4:]) async for page in pages_out]
        end = found[-1]
        assert isinstance(end, m.End)
        assert (end.code or "").startswith(code)
