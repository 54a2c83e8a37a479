"""Jobs of redrive as a DLQ remembers them, and the families of letters."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rmf import limits
from rmf.core.triage import Act
from rmf.storage.dlq_schema import DLQ_FILE
from rmf.storage.dlq_store import DlqStore
from tests.storage.dlq_letters import letter, opened
from tests.tools.dlq_source import Stored
from tools.dlq_jobs import acts_of, attempt_of, job_of, parent_of


def act(entry: int, kind: str, *letters: str, job: str | None = "night") -> Act:
    return Act(entry, entry, 0, kind, "alice", "why", letters, None, None, job)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[DlqStore]:
    with opened(tmp_path / DLQ_FILE) as store:
        yield store


@pytest.fixture
def source(store: DlqStore, tmp_path: Path) -> Iterator[Stored]:
    source = Stored(tmp_path / DLQ_FILE)
    yield source
    source.close()


def body_of(source: Stored, letter_id: str) -> dict[str, Any]:
    (body,) = source.ask("dlq.show", {"letter": letter_id})
    return body


def test_of_two_selections_of_one_name_the_first_holds(store: DlqStore, source: Stored) -> None:
    store.put_line([], 9, [act(8, "redrive", "3.9.0"), act(9, "redrive", "3.7.0", job="other")])
    store.put_acts([act(5, "redrive", "3.1.0", "3.2.0", "3.3.0")])  # fetched later, yet older
    store.put_line([], 12, [act(11, "skip", "3.1.0"), act(12, "redriven", "3.2.0")])
    job = job_of(source, "night")
    assert job is not None
    assert job.letters == ["3.1.0", "3.2.0", "3.3.0"]
    assert (job.skipped, job.redriven) == ({"3.1.0"}, {"3.2.0"})
    assert job.seqs == {"3.2.0": 1, "3.3.0": 2}
    assert job_of(source, "day") is None


def test_acts_come_page_by_page(store: DlqStore, source: Stored) -> None:
    count = 2 * limits.DLQ_PAGE_ACTS + 3
    store.put_line([], 99, [act(n, "redriven", "3.1.0") for n in range(1, count)])
    assert [x["entry"] for x in acts_of(source, job="night")] == list(range(1, count))


def test_a_letter_of_a_redrive_knows_its_parent_and_how_often_it_was_tried(
    store: DlqStore, source: Stored
) -> None:
    again = letter(20, producer="redrive:night", seq=2)
    third = letter(30, producer="redrive:day", seq=1)
    store.put_line([letter(1), letter(2), letter(3), again, third], 30)
    store.put_line([], 40, [act(5, "redrive", "3.1.0", "3.2.0", "3.3.0"), act(6, "skip", "3.1.0")])
    store.put_line([], 41, [act(25, "redrive", "3.20.0", job="day")])
    assert parent_of(source, body_of(source, "3.20.0")) == "3.3.0"
    assert parent_of(source, body_of(source, "3.30.0")) == "3.20.0"
    assert [attempt_of(source, body_of(source, x)) for x in ("3.3.0", "3.20.0", "3.30.0")] == [
        1,
        2,
        3,
    ]


def test_a_letter_whose_parent_is_not_known_says_so(store: DlqStore, source: Stored) -> None:
    store.put_line([letter(1, producer="redrive:lost", seq=1)], 1)
    assert parent_of(source, body_of(source, "3.1.0")) is None
    assert attempt_of(source, body_of(source, "3.1.0")) == 1
