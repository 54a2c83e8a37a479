"""`rmf-dlq show`: what was read and what is there now, the family, and what people decided."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from rmf.core.bag import MORE_READS, SCANNED, Evidence, Read
from rmf.core.triage import Act
from rmf.storage.dlq_schema import DLQ_FILE
from rmf.storage.dlq_store import DlqStore
from tests.storage.dlq_letters import CLUSTER, NODE, letter
from tests.tools.dlq_source import Stored, cell
from tools.dlq_show import for_scripts, text_of

READS = (
    Read("same", 3, 40, 0),
    Read("newer", 3, 40, 0),
    Read("gone", 3, 40, 0),
    Read("never", 0, 0, 0),
    Read("room/", SCANNED, 0, 0),
    Read("", MORE_READS, 0, 0),
)
CELLS = {"same": cell("same", 40), "newer": cell("newer", 60, producer="p\x1b2", value="n\x1b")}


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Stored]:
    store = DlqStore.open(tmp_path / DLQ_FILE, cluster=CLUSTER, node=NODE)
    again = letter(60, producer="redrive:night", seq=1)
    decided = ("alice\x1b", "mended")
    store.put_line([letter(50, error=Evidence("ValueError", "x", "", READS)), again], 60)
    redrive = Act(55, 55, 9, "redrive", *decided, ("3.50.0",), None, None, "night")
    store.put_line(
        [], 70, [redrive, Act(61, 61, 9, "resolve", *decided, ("3.60.0",), None, None, None)]
    )
    source = Stored(tmp_path / DLQ_FILE, CELLS)
    yield source
    source.close()
    store.close()


def shown(source: Stored, letter_id: str) -> dict[str, object]:
    (body,) = source.ask("dlq.show", {"letter": letter_id})
    return for_scripts(source, body)


def test_each_read_says_what_is_there_now(source: Stored) -> None:
    newer = {"term": 3, "tick": 60, "slot": 0, "producer": "p\x1b2", "value": "n\x1b"}
    stamp = {"term": 3, "tick": 40, "slot": 0}
    assert shown(source, "3.50.0")["reads"] == [
        {"key": "same", **stamp, "now": {**stamp, "producer": "probe", "value": 1}},
        {"key": "newer", **stamp, "now": newer},
        {"key": "gone", **stamp, "now": None},
        {"key": "never", "term": 0, "tick": 0, "slot": 0, "now": None},
        {"scan": "room/"},
        {"more": True},
    ]


def test_where_it_is_unknown_there_is_no_now(source: Stored) -> None:
    source.cells = None
    reads = shown(source, "3.50.0")["reads"]
    assert isinstance(reads, list)
    assert "now" not in reads[0]


def test_family_and_acts(source: Stored) -> None:
    old, new = shown(source, "3.50.0"), shown(source, "3.60.0")
    assert (old["parent"], old["attempt"]) == (None, 1)
    assert (new["parent"], new["attempt"], new["triage"]) == ("3.50.0", 2, "resolved")
    for letter_of, entry in ((old, 55), (new, 61)):
        acts = letter_of["acts"]
        assert isinstance(acts, list)
        assert [act["entry"] for act in acts] == [entry]


def test_people_get_all_of_it_and_no_control_characters(source: Stored) -> None:
    (old,) = source.ask("dlq.show", {"letter": "3.50.0"})
    (new,) = source.ask("dlq.show", {"letter": "3.60.0"})
    text = text_of(source, old) + text_of(source, new)
    assert "\x1b" not in text
    for words in (
        "same  3.40.0  (unchanged: 1)",
        "newer  3.40.0  (now 3.60.0 of p\\x1b2:",
        "gone  3.40.0  (gone since)",
        "never  nothing there\n",
        "all keys that begin with 'room/'",
        "… and more",
        "redriven   from 3.50.0, attempt 2",
        "redrive (job night): mended, by alice\\x1b, Entry 55",
        "triage     resolved",
    ):
        assert words in text, words
