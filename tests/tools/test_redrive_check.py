"""What may be redriven: only where nothing is newer, unless it is forced (R40)."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cbor2
import pytest

from rmf import limits
from rmf.core.bag import MORE_READS, SCANNED, Evidence, Letter, Read
from rmf.errors import ConnectionFailed
from rmf.storage.dlq_schema import DLQ_FILE
from rmf.storage.dlq_store import DlqStore
from tests.storage.dlq_letters import CLUSTER, NODE, edge_letter, letter
from tests.tools.dlq_source import Stored, cell
from tools.redrive_check import Judged, judge

TOPIC = "room/1/temp"
Ask = Callable[..., Judged]


@pytest.fixture
def ask(tmp_path: Path) -> Iterator[Ask]:
    """Judge a letter of tick 50 (or the one given) before a World of these cells."""
    store = DlqStore.open(tmp_path / DLQ_FILE, cluster=CLUSTER, node=NODE)
    source = Stored(tmp_path / DLQ_FILE, {})

    def ask(
        *reads: Read, cells: dict[str, Any] | None = None, bag: Letter | None = None, **more: Any
    ) -> Judged:
        bag = bag or letter(50, error=Evidence("ValueError", "x", "", reads))
        store.put_line([bag], 50)
        source.writes = more.get("writes", [])
        source.cells = cells if cells is not None or more.pop("nobody", False) else {}
        return judge(
            source,
            bag.id,
            more.get("job", "night"),
            force=more.get("force", False),
            ttl_ms=more.get("ttl_ms"),
        )

    yield ask
    source.close()
    store.close()


def test_what_was_read_and_is_still_so_is_no_obstacle(ask: Ask) -> None:
    reads = (Read("average/1", 3, 40, 0), Read("limit/1", 0, 0, 0))
    found = ask(*reads, cells={"average/1": cell("average/1", 40)})
    assert (found.verdict, found.topic, found.ttl_ms) == ("send", TOPIC, 2000)
    assert cbor2.loads(found.payload) == {"celsius": 400}
    assert found.harvested_at == 1_700_000_000_000_000_000


@pytest.mark.parametrize(
    ("reads", "cells", "words"),
    [
        ([Read("a", 3, 40, 0)], {"a": cell("a", 41)}, "a: it read 3.40.0, now there is 3.41.0"),
        ([Read("a", 3, 40, 0)], {}, "now there is nothing"),
        ([Read("a", 0, 0, 0)], {"a": cell("a", 60)}, "it read nothing, now there is 3.60.0"),
        ([], {TOPIC: cell(TOPIC, 51)}, f"{TOPIC}: it was written since, by 3.51.0"),
        ([Read("room/", SCANNED, 0, 0)], {}, "all keys of 'room/'"),
        ([Read("", MORE_READS, 0, 0)], {}, "more cells than the letter names"),
    ],
)
def test_over_what_is_newer_nothing_is_sent_unless_forced(
    ask: Ask, reads: list[Read], cells: dict[str, Any], words: str
) -> None:
    found = ask(*reads, cells=cells)
    assert found.verdict == "newer_exists"
    assert words in found.why
    assert ask(*reads, cells=cells, force=True).verdict == "send"


def test_a_handler_that_died_could_not_tell_what_it_read(ask: Ask) -> None:
    found = ask(bag=letter(50, reason="handler_died", error=Evidence("", "SIGKILL", "")))
    assert (found.verdict, "may not have lived" in found.why) == ("newer_exists", True)
    told = Evidence("", "it was interrupted here", "", (Read("a", 0, 0, 0),))
    assert ask(bag=letter(51, reason="handler_timeout", error=told)).verdict == "send"


def test_an_older_cell_of_the_topic_is_no_obstacle(ask: Ask) -> None:
    assert ask(cells={TOPIC: cell(TOPIC, 49)}).verdict == "send"


def test_what_the_job_wrote_itself_is_no_news_to_it(ask: Ask) -> None:
    mine = cell("a", 60, producer="redrive:night")
    assert ask(Read("a", 3, 40, 0), cells={"a": mine}).verdict == "send"
    assert ask(Read("a", 3, 40, 0), cells={"a": mine}, job="day").verdict == "newer_exists"


@pytest.mark.parametrize(
    ("bag", "words"),
    [
        (letter(50, seq=None, packet=cbor2.dumps(3)), "a handler of an expired cell"),
        (letter(50, packet=b"\xff"), "cannot be read"),
        (letter(50, packet=cbor2.dumps(["a", 1])), "no payload"),
        (letter(50, topic=None), "its label cannot be read"),
        (letter(50, reason="label_invalid", stage="latch"), "bagged again"),
        (edge_letter("n1:edge:7"), "of one node's edge"),
    ],
)
def test_what_holds_no_packet_cannot_be_sent_and_force_does_not_help(
    ask: Ask, bag: Letter, words: str
) -> None:
    found = ask(bag=bag, force=True)
    assert found.verdict == "not_possible"
    assert words in found.why


def test_a_letter_that_is_gone_is_left_out(ask: Ask, tmp_path: Path) -> None:
    ask()
    source = Stored(tmp_path / DLQ_FILE, {})
    assert judge(source, "9.9.9", "night", force=True).verdict == "not_possible"
    source.close()


def test_where_it_is_unknown_what_is_there_nothing_is_decided(ask: Ask) -> None:
    with pytest.raises(ConnectionFailed, match="cannot say what is in 'a' now"):
        ask(Read("a", 3, 40, 0), nobody=True)


def test_what_the_present_line_would_write_over_is_newer_though_no_handler_read_it(
    ask: Ask,
) -> None:
    """U1: the failed handler had read nothing, and a later packet has written the cell."""
    cells = {"average/1": cell("average/1", 51)}
    found = ask(cells=cells, writes=["average/1"])
    assert found.verdict == "newer_exists"
    assert "average/1: it was written since, by 3.51.0" in found.why
    assert ask(cells=cells, writes=["average/1"], force=True).verdict == "send"
    assert ask(cells={"average/1": cell("average/1", 49)}, writes=["average/1"]).verdict == "send"


def test_that_is_so_where_no_handler_ever_ran(ask: Ask) -> None:
    bag = letter(50, reason="payload_invalid", error=Evidence("", "expected float", ""))
    found = ask(bag=bag, cells={"average/1": cell("average/1", 51)}, writes=["average/1"])
    assert found.verdict == "newer_exists"


def test_where_it_is_unknown_what_would_be_written_nothing_is_sent_unless_forced(
    ask: Ask,
) -> None:
    found = ask(writes=None)
    assert (found.verdict, "is unknown" in found.why) == ("newer_exists", True)
    assert ask(writes=None, force=True).verdict == "send"


def test_what_the_job_would_write_over_of_its_own_is_no_news(ask: Ask) -> None:
    mine = cell("average/1", 60, producer="redrive:night")
    assert ask(cells={"average/1": mine}, writes=["average/1"]).verdict == "send"


def test_what_the_sender_would_refuse_is_not_possible(ask: Ask) -> None:
    """P18: the judge goes by the rules of the sender, and so nothing stops a job."""
    big = letter(50, packet=cbor2.dumps([TOPIC, 1, 0, 5, bytes(limits.PAYLOAD_BYTES_MAX + 1)]))
    found = ask(bag=big, force=True)
    assert (found.verdict, "917505 bytes" in found.why) == ("not_possible", True)


def test_the_shelf_life_is_the_one_that_is_wanted(ask: Ask) -> None:
    assert ask(ttl_ms=7).ttl_ms == 7
