"""Metrics: the table is the documented one, all of it is exposed, and the numbers are right."""

from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse_text

from rmf.floor.web.metrics import METRICS, render
from tests.floor.http_kit import DISK, Node, facts_of_a_king

DOCUMENT = Path(__file__).parents[3] / "protocol" / "METRICS.md"


def page(node: Node, *, disk: bool = True) -> dict[tuple[str, str], float]:
    """The samples of `rmf_*` on the page, by name and the values of their labels."""
    text, kind = render(node.sources, DISK if disk else None, "")
    assert kind.startswith("text/plain")
    found = [sample for family in parse_text(text.decode()) for sample in family.samples]
    return {(s.name, ",".join(s.labels.values())): s.value for s in found if s.name[:4] == "rmf_"}


def test_the_table_is_the_documented_one() -> None:
    rows = [line for line in DOCUMENT.read_text().splitlines() if line.startswith("| `rmf_")]
    rows = [row for row in rows if row.count("|") == 6]
    assert rows == [
        f"| `{metric.name}` | {metric.type} | "
        f"{', '.join(f'`{label}`' for label in metric.labels) or '-'} | "
        f"{metric.meaning} | {metric.stability} |"
        for metric in METRICS
    ]


def test_alarms_name_metrics_that_exist() -> None:
    alarms = DOCUMENT.read_text().partition("worth an alarm")[2].replace("(", " ").split()
    named = {word.split("{")[0].split("[")[0].strip("`)") for word in alarms if "rmf_" in word}
    assert named
    assert named <= {metric.name for metric in METRICS}


def test_all_of_the_table_is_exposed_and_nothing_else() -> None:
    node = Node()
    for name in ("commit", "fsync", "execute"):
        getattr(node.instruments, name).observe(0.1)
    names = {name for name, _ in page(node)}
    for ending in ("_bucket", "_count", "_sum"):
        names = {name.removesuffix(ending) for name in names}
    assert names == {metric.name for metric in METRICS}


def test_names_are_of_one_family_in_base_units() -> None:
    assert METRICS
    for metric in METRICS:
        assert metric.name.startswith("rmf_")
        assert metric.name.endswith("_total") == (metric.type == "counter")
        assert not metric.name.endswith(("_ms", "_ns", "_us", "_kib", "_mib", "_percent"))


@pytest.mark.parametrize(
    ("name", "labels", "value"),
    [
        ("rmf_term", "", 3),
        ("rmf_tick", "", 1841),
        ("rmf_last_index", "", 977),
        ("rmf_commit_index", "", 976),
        ("rmf_applied_index", "", 975),
        ("rmf_role", "leader", 1),
        ("rmf_role", "follower", 0),
        ("rmf_reigns", "", 1),
        ("rmf_strike", "disk", 0),
        ("rmf_members", "", 3),
        ("rmf_member_lag_entries", "n2", 7),
        ("rmf_member_voter", "n3", 0),
        ("rmf_ingest_depth_packets", "", 7),
        ("rmf_packets_latched_total", "", 100),
        ("rmf_packets_unaccounted", "", 0),
        ("rmf_dlq_complete", "", 1),
        ("rmf_door_depth", "events", 1),
        ("rmf_connections", "", 3),
        ("rmf_producers_left_total", "crowded", 2),
        ("rmf_disk_mark", "soft", 1),
        ("rmf_checkpoint_index", "", 900),
        ("rmf_node_info", "n1", 1),
    ],
)
def test_a_number_is_that_of_its_fact(name: str, labels: str, value: float) -> None:
    assert page(Node())[name, labels] == value


def test_a_member_of_whom_nothing_is_known_has_no_lag() -> None:
    found = page(Node())
    assert ("rmf_member_match_index", "n3") not in found
    follower = page(Node(facts_of_a_king(role="follower", leader="n2")))
    assert not [name for name, _ in follower if name == "rmf_member_lag_entries"]


def test_books_that_do_not_balance_are_seen() -> None:
    packets: Any = {"latched": 100, "applied": 90, "bagged": 9, "duplicate": 0}
    assert page(Node(facts_of_a_king(packets=packets)))["rmf_packets_unaccounted", ""] == 1


def test_a_strike_is_one_of_its_kinds() -> None:
    found = page(Node(facts_of_a_king(strike={"kind": "disk", "why": "fsync failed"})))
    strikes = {labels: value for (name, labels), value in found.items() if name == "rmf_strike"}
    assert strikes == {"no_reign": 0, "disk": 1, "state": 0, "admin": 0}
    assert found["rmf_reigns", ""] == 0


def test_what_is_not_known_is_left_out() -> None:
    reading = page(Node(None), disk=False)
    assert reading["rmf_ledger_read", ""] == 0
    assert reading["rmf_connections", ""] == 3
    assert ("rmf_term", "") not in reading
    assert ("rmf_ledger_bytes", "") not in reading


def test_instruments_are_read_off() -> None:
    node = Node()
    node.instruments.bagged.count(["expired", "handler_error", "expired"])
    node.instruments.changes.see("no_reign", 1, None)
    node.instruments.changes.see(None, 2, "n2")
    for seconds in (0.00005, 0.0001, 0.002, 60.0):
        node.instruments.fsync.observe(seconds)
    found = page(node)
    assert found["rmf_bagged_by_reason_total", "expired"] == 2
    assert found["rmf_bagged_by_reason_total", "no_handler"] == 0
    assert found["rmf_strikes_total", "no_reign"] == 1
    assert found["rmf_leader_changes_total", ""] == 1
    buckets = [("0.0001", 2), ("0.001", 2), ("0.0025", 3), ("10.0", 3), ("+Inf", 4)]
    assert [found["rmf_fsync_seconds_bucket", le] for le, _ in buckets] == [n for _, n in buckets]
    assert found["rmf_fsync_seconds_count", ""] == 4
    assert found["rmf_fsync_seconds_sum", ""] == pytest.approx(60.00215)


@pytest.mark.parametrize("accept", ["application/openmetrics-text; version=1.0.0, */*;q=0.1"])
def test_openmetrics_is_spoken_where_it_is_accepted(accept: str) -> None:
    text, kind = render(Node().sources, DISK, accept)
    assert kind.startswith("application/openmetrics-text")
    found = parse_openmetrics(text.decode())  # type: ignore[no-untyped-call]
    families = {family.name: family.type for family in found}
    assert families["rmf_packets_latched"] == "counter"
    assert families["rmf_commit_seconds"] == "histogram"


@pytest.mark.parametrize("accept", ["text/plain; version=x.y", "application/openmetrics-text;v=ö"])
def test_an_accept_header_that_makes_no_sense_gets_an_answer(accept: str) -> None:
    assert render(Node().sources, DISK, accept)[0]


def test_the_process_says_what_it_takes() -> None:
    text, _ = render(Node().sources, DISK, "")
    assert b"process_resident_memory_bytes" in text
