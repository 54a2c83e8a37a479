"""A DLQ of a new cluster: it holds nothing that the new ledger does not know."""

from pathlib import Path

import pytest

from rmf.core.triage import Act
from rmf.errors import ForeignDirectory
from rmf.storage.dlq_refound import refound_dlq
from rmf.storage.dlq_schema import DLQ_FILE
from rmf.storage.dlq_store import DlqStore
from tests.storage.dlq_letters import CLUSTER, NODE, edge_letter, letter, opened
from tests.storage.of_three import letters_in

NEW = b"n" * 16


def filled(path: Path, cursor: int = 20) -> Path:
    with opened(path / DLQ_FILE) as store:
        store.put_line([letter(tick) for tick in (10, 20, 30)], cursor)
        store.put_edge([edge_letter("n1:edge:1")])
    return path / DLQ_FILE


def test_it_is_of_the_new_cluster_and_of_no_other(tmp_path: Path) -> None:
    path = filled(tmp_path)
    refound_dlq(path, cluster=NEW, node="n9", index=20, tick=30)
    with opened(path, cluster=NEW, node="n9") as store:
        assert store.cursor == 20
        assert store.stats().letters == 4
        assert store.stats().complete
    with pytest.raises(ForeignDirectory):
        DlqStore.open(path, cluster=CLUSTER, node=NODE)


def test_letters_behind_its_beginning_go_and_are_not_counted(tmp_path: Path) -> None:
    path = filled(tmp_path)
    for _ in range(2):  # it may be done again
        refound_dlq(path, cluster=NEW, node="n9", index=15, tick=20)
        assert letters_in(path, NEW, "n9") == ["3.10.0", "3.20.0", "n1:edge:1"]
    with opened(path, cluster=NEW, node="n9") as store:
        assert (store.cursor, store.stats().letters, store.stats().open) == (15, 3, 3)


def test_acts_behind_its_beginning_were_never_done(tmp_path: Path) -> None:
    path = filled(tmp_path)
    with opened(path) as store:
        acts = [
            Act(entry, tick, 7, "resolve", "me", "why", (name,), None, None, None)
            for entry, tick, name in ((12, 15, "3.10.0"), (18, 25, "3.20.0"))
        ]
        store.put_line([], 20, acts)
        assert store.stats().open == 2
    refound_dlq(path, cluster=NEW, node="n9", index=15, tick=20)
    with opened(path, cluster=NEW, node="n9") as store:
        assert (store.stats().letters, store.stats().open) == (3, 2)


def test_one_that_lags_says_that_letters_are_missing(tmp_path: Path) -> None:
    path = filled(tmp_path, cursor=10)
    refound_dlq(path, cluster=NEW, node="n9", index=15, tick=40)
    with opened(path, cluster=NEW, node="n9") as store:
        assert not store.stats().complete
