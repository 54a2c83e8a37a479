"""Decisions about letters of a node's own edge: its keeper does and remembers them (R40)."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from rmf.core import codec
from rmf.core import messages as m
from rmf.floor.data import dlq_keeper
from rmf.floor.doors import connection_doors
from rmf.floor.edge.edge_triage import act_on_edge
from rmf.storage.dlq_reader import DlqReader
from tests.floor.kit import Bench, bench
from tests.storage.dlq_letters import edge_letter, letter
from tests.storage.ledger_kit import file_bytes_limit


async def order(alone: Bench, **args: Any) -> list[m.Message]:
    _, _, pages, pages_out = connection_doors()
    query = m.Query(5, "dlq.triage_edge", args)
    found: list[m.Message] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(act_on_edge, alone.doors, query, "alice", 70, pages)
        found += [codec.decode(page[4:]) async for page in pages_out]
    return found


async def answers(tmp_path: Path, *orders: dict[str, Any]) -> list[list[m.Message]]:
    with bench(tmp_path) as alone:
        alone.store.put_edge([edge_letter("n1:edge:1"), edge_letter("n1:edge:2")])
        alone.store.put_line([letter(1)], 1)
        keep = partial(dlq_keeper.run, alone.doors, alone.store, [])
        async with alone.supervised("dlq_keeper", keep):
            return [await order(alone, **args) for args in orders]


def dlq_of(path: Path) -> Path:
    (found,) = path.rglob("dlq.sqlite")
    return found


async def test_an_act_is_done_and_kept_and_answered(tmp_path: Path) -> None:
    resolve = {"act": "resolve", "why": "a bad probe", "letters": ["n1:edge:1", "n9:edge:9"]}
    purge = {"act": "purge", "why": "secrets", "before": 2**62}
    assert await answers(tmp_path, resolve, purge) == [
        [m.Item(5, {"matched": 1}), m.End(5, None, None)],
        [m.Item(5, {"matched": 2}), m.End(5, None, None)],
    ]
    reader = DlqReader.open(dlq_of(tmp_path))
    assert [x.letter.id for x in reader.letters()] == ["3.1.0"]  # of the line: not met
    assert [(x.act.entry, x.act.by, x.act.at, x.act.why) for x in reader.acts()] == [
        (0, "alice", 70, "a bad probe"),
        (0, "alice", 70, "secrets"),
    ]
    reader.close()


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({"act": "resolve", "letters": ["3.1.0"], "why": "x"}, "letters: expected ids"),
        ({"act": "resolve", "letters": ["n1:edge:1"]}, "why"),
        ({"act": "redrive", "letters": ["n1:edge:1"], "why": "x", "job": "a"}, "act: expected"),
    ],
)
async def test_a_wrong_order_is_refused(tmp_path: Path, args: dict[str, Any], words: str) -> None:
    ((end,),) = await answers(tmp_path, args)
    assert isinstance(end, m.End)
    assert end.code == "wrong_shape"
    assert words in str(end.text)


async def test_a_disk_that_fails_is_said_to_who_gave_the_order(tmp_path: Path) -> None:
    with bench(tmp_path) as alone:
        alone.store.put_edge([edge_letter("n1:edge:1")])
        keep = partial(dlq_keeper.run, alone.doors, alone.store, [])
        async with alone.supervised("dlq_keeper", keep):
            with file_bytes_limit(16):
                (end,) = await order(alone, act="purge", why="x", letters=["n1:edge:1"])
    assert isinstance(end, m.End)
    assert end.code == "strike"
