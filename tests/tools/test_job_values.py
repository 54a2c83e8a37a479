"""The job's own arithmetic: what was seen when, what was lost, what was done twice."""

from array import array

from tools.job_values import (
    Books,
    Produced,
    Row,
    Sightings,
    books,
    counted,
    key_of,
    longest_gap_s,
    payload_of,
    waits_s,
)

KEYS = 2
SECOND = 1_000_000_000


def rows_of(numbers: list[int]) -> list[Row]:
    """What a subscriber sees of packets that are handled one a second."""
    states: dict[int, dict[str, int]] = {}
    rows = []
    for at, number in enumerate(numbers, 1):
        key = key_of(number, KEYS)
        states[key] = counted(states.get(key), payload_of(number))
        rows.append((at * SECOND, key, states[key]["count"], states[key]["sum"]))
    return rows


def test_the_handler_counts_and_adds() -> None:
    assert counted(counted(None, {"n": 3}), {"n": 5}) == {"count": 2, "sum": 8}


def test_what_came_of_each_packet_once_is_well() -> None:
    assert books(rows_of([0, 1, 2, 3, 4]), 5, KEYS) == Books(0, 0, 0)


def test_a_packet_less_is_lost_one_more_is_doubled_both_at_once_are_wrong() -> None:
    assert books(rows_of([0, 1, 2]), 5, KEYS) == Books(2, 0, 0)
    assert books(rows_of([0, 1, 2, 3, 2]), 4, KEYS) == Books(0, 1, 0)
    assert books(rows_of([0, 1, 0, 3]), 4, KEYS) == Books(0, 0, 1)


def test_a_packet_waits_until_the_state_of_its_key_counts_it() -> None:
    produced = Produced(2, array("q", [0, 0, 3 * SECOND]), 3)  # packets 2, 3, 4
    assert waits_s(rows_of([0, 1, 2, 3, 4]), produced, KEYS) == [3, 4, 2]


def test_a_state_that_was_skipped_shows_its_packets_with_the_next() -> None:
    rows = [rows_of([0, 1, 2, 3, 4])[at] for at in (1, 4)]
    produced = Produced(0, array("q", [0] * 5), 5)
    assert waits_s(rows, produced, KEYS) == [2, 5, 5, 5]


def test_the_longest_gap_counts_from_the_edges() -> None:
    assert longest_gap_s(rows_of([0, 1]), 0, 5 * SECOND) == 3
    assert longest_gap_s([], 0, SECOND) == 1


def test_sightings_total_the_states_seen_last() -> None:
    sightings = Sightings()
    sightings.see(0, {"count": 2, "sum": 2})
    sightings.see(1, {"count": 1, "sum": 1})
    sightings.see(0, {"count": 3, "sum": 6})
    assert sightings.total == 4
    assert [row[1:] for row in Sightings.rows(sightings.noted())] == [
        (0, 2, 2),
        (1, 1, 1),
        (0, 3, 6),
    ]
