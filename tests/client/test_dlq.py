"""client/dlq: a walk asks page by page and a tail goes on behind the last row it saw."""

from collections.abc import Iterator
from itertools import islice

import pytest

from rmf import limits
from rmf.client.dlq import Body, Source, follow, walk
from rmf.errors import ProtocolFault, Refused


class Rows(Source):
    """A DLQ of bare rows that keeps what it was asked and gives at most `page` at a time.

    `breaks` are raised in place of the next answers to a tail, one each."""

    name = "rows"

    def __init__(self, letters: int, page: int = limits.DLQ_PAGE_LETTERS) -> None:
        self.rows = list(range(1, letters + 1))
        self.asked: list[Body] = []
        self.breaks: list[Exception] = []
        self.opened = 1
        self._page = page

    def ask(self, subject: str, query: Body) -> Iterator[Body]:
        self.asked.append(query)
        if subject == "dlq.tail" and self.breaks:
            raise self.breaks.pop()
        low, high = query.get("after", 0), query.get("before", 2**63)
        found = [row for row in self.rows if low < row < high]
        if query.get("newest_first"):
            found.reverse()
        for row in found[: min(query.get("limit", self._page), self._page)]:
            yield {"row": row}

    def reopen(self) -> None:
        self.opened += 1


def rows(bodies: Iterator[Body]) -> list[int]:
    return [body["row"] for body in bodies]


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize("letters_max", [0, 1, 7, 10, 11, None])
def test_a_walk_gives_each_letter_once_whatever_the_pages(
    letters_max: int | None, newest_first: bool
) -> None:
    source = Rows(10, page=3)
    expected = source.rows[::-1] if newest_first else source.rows
    found = rows(walk(source, {}, letters_max, newest_first=newest_first))
    assert found == expected[:letters_max]


def test_a_walk_keeps_its_filters_and_never_asks_for_more_than_a_page() -> None:
    source = Rows(1000)
    rows(walk(source, {"reason": "expired"}, None))
    assert all(query["reason"] == "expired" for query in source.asked)
    assert max(query["limit"] for query in source.asked) == limits.DLQ_PAGE_LETTERS


def test_a_tail_begins_with_the_last_letters_in_their_order() -> None:
    assert rows(islice(follow(Rows(10), {}, 3), 3)) == [8, 9, 10]


def test_a_tail_goes_on_behind_what_it_saw_when_the_connection_breaks() -> None:
    source = Rows(3)
    tail = follow(source, {}, 1)
    assert next(tail) == {"row": 3}
    source.rows += [4, 5]
    source.breaks = [Refused("stopping", "bye", retry=True)]
    assert rows(islice(tail, 2)) == [4, 5]
    assert source.opened == 2


def test_a_final_refusal_ends_a_tail() -> None:
    source = Rows(1)
    source.breaks = [Refused("not_allowed", "no", retry=False)]
    with pytest.raises(Refused, match="not_allowed"):
        rows(follow(source, {}, 0))


def test_a_letter_without_its_row_is_the_nodes_fault() -> None:
    class Rowless(Rows):
        def ask(self, subject: str, query: Body) -> Iterator[Body]:
            yield {"letter": "3.1.0", "subject": subject, "query": query}

    with pytest.raises(ProtocolFault, match="without its row"):
        rows(walk(Rowless(0), {}, 1))
