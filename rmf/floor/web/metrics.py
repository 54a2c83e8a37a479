"""Metrics: what Prometheus reads at `/metrics`, made from facts at the moment of the request.

METRICS is the table that protocol/METRICS.md documents; a number that is not known now (the disk
hangs, the ledger is being read) is left out, never invented. It is imported when it is first asked
for (see http_answers): nothing here is called per packet.
"""

import platform
from collections.abc import Iterator
from functools import cache
from itertools import accumulate
from typing import Any, Final, NamedTuple

import trio
from prometheus_client import CollectorRegistry, ProcessCollector, exposition, metrics_core
from prometheus_client.registry import Collector

from rmf.core.bag import REASONS
from rmf.floor.instruments import Durations
from rmf.floor.web.readings import DiskFacts, Sources

__all__ = ["METRICS", "Metric", "MetricSample", "render", "samples"]

ROLES: Final = ("leader", "follower", "candidate", "learner")
STRIKES: Final = ("no_reign", "disk", "state", "admin")
SKIPPED: Final = ("full", "unfinished", "failed")
MARKS: Final = ("ok", "soft", "hard")
_OPENMETRICS = "application/openmetrics-text"


class Metric(NamedTuple):
    """A metric as it is exposed; a counter's name ends in `_total`. `stability`: a stable one keeps
    its name and meaning, a provisional one may change with any version."""

    name: str
    type: str
    labels: tuple[str, ...]
    meaning: str
    stability: str = "stable"


class MetricSample(NamedTuple):
    """A value of a metric, with a value for each of its labels."""

    name: str
    value: float | Durations
    labels: tuple[str, ...] = ()


def _gauge(name: str, meaning: str, *labels: str) -> Metric:
    return Metric(name, "gauge", labels, meaning)


def _counter(name: str, meaning: str, *labels: str) -> Metric:
    return Metric(name, "counter", labels, meaning)


def _passing(metric: Metric) -> Metric:
    return metric._replace(stability="provisional")


METRICS: Final = (
    _gauge("rmf_build_info", "Always 1; what runs here.", "version", "python", "trio"),
    _gauge("rmf_node_info", "Always 1; which node this is.", "node"),
    _gauge("rmf_line_info", "Always 1; the line that this node runs.", "line", "version"),
    _gauge("rmf_line_behind", "1 if that line is older than the one of the reign."),
    _gauge("rmf_line_mismatch", "1 if it is another one: other name, or other source."),
    _gauge("rmf_uptime_seconds", "Time since the Arbiter was loaded."),
    _gauge("rmf_ledger_read", "1, or 0 while the ledger is read: facts are missing then."),
    _gauge("rmf_arbiter_step_age_seconds", "Time since the Arbiter's loop last turned."),
    Metric("rmf_arbiter_step_seconds", "histogram", (), "One step of the Arbiter's loop."),
    Metric("rmf_arbiter_step_cpu_seconds", "histogram", (), "What it used of a core."),
    _gauge("rmf_term", "The Term that this node knows."),
    _gauge("rmf_tick", "The Tick of the last Entry applied here."),
    _gauge("rmf_last_index", "The last Entry in this node's ledger."),
    _gauge("rmf_commit_index", "The last Entry known to be committed."),
    _gauge("rmf_applied_index", "The last Entry applied here."),
    _gauge("rmf_role", "1 for the role this node has, 0 for the others.", "role"),
    _gauge("rmf_reigns", "1 if this node reigns and does not strike."),
    _gauge("rmf_leader_known", "1 if a reigning Arbiter is known."),
    _counter("rmf_leader_changes_total", "Reigns seen since the start of this process."),
    _gauge("rmf_strike", "1 for the kind of strike the node is on, 0 for the others.", "kind"),
    _counter("rmf_strikes_total", "Strikes begun since the start of this process.", "kind"),
    _gauge("rmf_members", "Nodes in the membership."),
    _gauge("rmf_member_voter", "1 for a voter, 0 for a learner.", "member"),
    _gauge("rmf_member_match_index", "Last Entry on a member's disk; on the leader.", "member"),
    _gauge("rmf_member_lag_entries", "Entries that a member lacks; on the leader.", "member"),
    _gauge("rmf_ingest_depth_packets", "Packets in the ingest queue."),
    _gauge("rmf_ingest_capacity_packets", "What it holds; full, producers wait."),
    _counter("rmf_packets_latched_total", "Packets latched by the factory; in the ledger."),
    _counter("rmf_packets_applied_total", "Packets applied by the factory; in the ledger."),
    _counter("rmf_packets_bagged_total", "Packets bagged by the factory; in the ledger."),
    _gauge("rmf_packets_unaccounted", "Latched, neither applied nor bagged: always 0 (R34)."),
    _counter("rmf_packets_duplicate_total", "Packets answered from the table, since the start."),
    _counter("rmf_bagged_by_reason_total", "Packets bagged since the start, by reason.", "reason"),
    _gauge("rmf_dlq_letters", "Letters in this node's DLQ."),
    _gauge("rmf_dlq_groups", "Groups of Letters."),
    _gauge("rmf_dlq_bytes", "Size of the DLQ."),
    _gauge("rmf_dlq_open", "Letters that are not dealt with yet."),
    _gauge("rmf_dlq_reopened", "Groups that came back after they had been resolved."),
    _gauge("rmf_dlq_storm", "1 while letters come so fast that it can be no accident."),
    _counter("rmf_dlq_storms_total", "Storms of letters since the start of this process."),
    _gauge("rmf_dlq_complete", "1, or 0 while Letters are missing after a Checkpoint install."),
    _gauge("rmf_world_cells", "Cells in the World."),
    _counter("rmf_expiries_total", "Cells that ended since the start, by reason.", "reason"),
    _passing(_gauge("rmf_expiries_crowd", "1 while more cells end than packets come, and many.")),
    _gauge("rmf_producers", "Producers in the table."),
    _counter("rmf_producers_left_total", "Names that left it, since the start.", "why"),
    _gauge("rmf_connections", "Connections of clients that are open."),
    _gauge("rmf_connections_before_hello", "Of them, those that have not said HELLO yet."),
    _gauge("rmf_subscriptions", "Subscriptions that are served."),
    _passing(_gauge("rmf_door_depth", "Items that wait at a door between tasks.", "door")),
    _passing(_gauge("rmf_door_capacity", "What the door holds.", "door")),
    Metric("rmf_commit_seconds", "histogram", (), "From latch to commit, an Entry; on the leader."),
    Metric("rmf_fsync_seconds", "histogram", (), "One append to the ledger with its fsync."),
    Metric("rmf_execute_seconds", "histogram", (), "The line, over one Tick."),
    _passing(_counter("rmf_glovebox_restarts_total", "Restarts of the glove box.")),
    _counter("rmf_audited_ticks_total", "Ticks of others run again and compared, since the start."),
    _counter("rmf_audit_skipped_total", "Ticks of the sample left out, or their rest.", "why"),
    _counter("rmf_diverged_total", "Differences that the audit found, since the start."),
    _gauge("rmf_ledger_bytes", "Disk that the living ledger takes."),
    _gauge("rmf_archive_bytes", "Disk that archived history takes."),
    _gauge("rmf_checkpoint_index", "Index of the newest Checkpoint; 0: none."),
    _gauge("rmf_disk_free_bytes", "Disk left where the data lie."),
    _gauge("rmf_disk_mark", "1 for the watermark reached (ok: none), 0 for the others.", "mark"),
)


def render(sources: Sources, disk: DiskFacts | None, accept: str) -> tuple[bytes, str]:
    """Return the page of metrics and its media type, OpenMetrics where it is accepted. `disk` is
    None where the disk could not be looked at."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Page(sources, disk))
    registry.register(_process())
    # Only the name is passed on: the library trips over versions it cannot read.
    encode, kind = exposition.choose_encoder(_OPENMETRICS if _OPENMETRICS in accept else "")
    return encode(registry), kind


@cache
def _process() -> ProcessCollector:
    return ProcessCollector(registry=None)


class _Page(Collector):
    """The samples of one moment, as the library's families, in the order of the table."""

    def __init__(self, sources: Sources, disk: DiskFacts | None) -> None:
        self._samples = list(samples(sources, disk))

    def collect(self) -> Iterator[metrics_core.Metric]:
        by_name: dict[str, list[MetricSample]] = {}
        for sample in self._samples:
            by_name.setdefault(sample.name, []).append(sample)
        for metric in METRICS:
            if metric.name in by_name:
                yield _family(metric, by_name[metric.name])


def _family(metric: Metric, found: list[MetricSample]) -> metrics_core.Metric:
    family = metrics_core.Metric(metric.name.removesuffix("_total"), metric.meaning, metric.type)
    for _, value, labels in found:
        named = dict(zip(metric.labels, labels, strict=True))
        if not isinstance(value, Durations):
            family.add_sample(metric.name, named, value)
            continue
        counts = list(accumulate(value.counts))
        for bound, count in zip((*map(repr, value.bounds_s), "+Inf"), counts, strict=True):
            within = {**named, "le": bound}
            family.add_sample(f"{metric.name}_bucket", within, count)
        family.add_sample(f"{metric.name}_count", named, counts[-1])
        family.add_sample(f"{metric.name}_sum", named, value.sum_s)
    return family


# --- Samples ----------------------------------------------------------------------------------


def samples(sources: Sources, disk: DiskFacts | None) -> Iterator[MetricSample]:
    """Return every sample that is known now; names are those of METRICS."""
    facts = sources.facts()
    versions = (sources.version, platform.python_version(), trio.__version__)
    yield MetricSample("rmf_build_info", 1, versions)
    yield MetricSample("rmf_node_info", 1, (sources.node,))
    yield MetricSample("rmf_ledger_read", facts is not None)
    yield MetricSample("rmf_arbiter_step_age_seconds", sources.last_step_age_s())
    if facts is not None:
        line = facts["line"]
        yield MetricSample("rmf_line_info", 1, (line["name"], str(line["version"])))
        yield MetricSample("rmf_line_behind", facts["line_behind"])
        yield MetricSample("rmf_line_mismatch", facts["line_mismatch"])
        yield from _of_reign(facts)
        yield from _of_members(facts)
        yield from _of_packets(facts)
        yield from _of_stores(facts)
    yield from _of_floor(sources)
    yield from _of_instruments(sources)
    if disk is not None:
        yield MetricSample("rmf_ledger_bytes", disk.ledger_bytes)
        yield MetricSample("rmf_archive_bytes", disk.archive_bytes)
        yield MetricSample("rmf_checkpoint_index", disk.checkpoint_index)
        yield MetricSample("rmf_disk_free_bytes", disk.free_bytes)


def _one_hot(name: str, values: tuple[str, ...], found: str | None) -> Iterator[MetricSample]:
    for value in values:
        yield MetricSample(name, value == found, (value,))


def _of_reign(facts: dict[str, Any]) -> Iterator[MetricSample]:
    strike = facts["strike"]
    yield MetricSample("rmf_uptime_seconds", facts["uptime_s"])
    yield MetricSample("rmf_term", facts["term"])
    yield MetricSample("rmf_tick", facts["tick"])
    yield MetricSample("rmf_last_index", facts["index"])
    yield MetricSample("rmf_commit_index", facts["commit"])
    yield MetricSample("rmf_applied_index", facts.get("applied", facts["commit"]))
    yield from _one_hot("rmf_role", ROLES, facts["role"])
    yield MetricSample("rmf_reigns", facts["role"] == "leader" and strike is None)
    yield MetricSample("rmf_leader_known", facts["leader"] is not None)
    yield from _one_hot("rmf_strike", STRIKES, strike and strike["kind"])
    yield from _one_hot("rmf_disk_mark", MARKS, facts.get("disk"))


def _of_members(facts: dict[str, Any]) -> Iterator[MetricSample]:
    yield MetricSample("rmf_members", len(facts["members"]))
    for member in facts["members"]:
        labels = (member["node"],)
        yield MetricSample("rmf_member_voter", member["voter"], labels)
        if facts["role"] == "leader" and member["match"] is not None:
            yield MetricSample("rmf_member_match_index", member["match"], labels)
            yield MetricSample("rmf_member_lag_entries", facts["index"] - member["match"], labels)


def _of_packets(facts: dict[str, Any]) -> Iterator[MetricSample]:
    packets, ingest = facts["packets"], facts["ingest"]
    latched, applied, bagged = packets["latched"], packets["applied"], packets["bagged"]
    yield MetricSample("rmf_ingest_depth_packets", ingest["depth"])
    yield MetricSample("rmf_ingest_capacity_packets", ingest["capacity"])
    yield MetricSample("rmf_packets_latched_total", latched)
    yield MetricSample("rmf_packets_applied_total", applied)
    yield MetricSample("rmf_packets_bagged_total", bagged)
    yield MetricSample("rmf_packets_unaccounted", latched - applied - bagged)
    yield MetricSample("rmf_packets_duplicate_total", packets["duplicate"])


def _of_stores(facts: dict[str, Any]) -> Iterator[MetricSample]:
    for key in ("letters", "groups", "bytes", "open", "reopened", "complete"):
        if facts["dlq"].get(key) is not None:
            yield MetricSample(f"rmf_dlq_{key}", facts["dlq"][key])
    yield MetricSample("rmf_world_cells", facts["world"]["cells"])
    for reason, count in facts.get("expiries", {}).items():
        yield MetricSample("rmf_expiries_total", count, (reason,))
    if facts.get("producers") is not None:
        yield MetricSample("rmf_producers", facts["producers"])
    for why, names in facts.get("producers_left", {}).items():
        yield MetricSample("rmf_producers_left_total", names, (why,))
    yield MetricSample("rmf_glovebox_restarts_total", facts["glovebox"]["restarts"])


def _of_floor(sources: Sources) -> Iterator[MetricSample]:
    floor = sources.floor()
    yield MetricSample("rmf_connections", floor.connections)
    yield MetricSample("rmf_connections_before_hello", floor.strangers)
    if floor.subscriptions is not None:
        yield MetricSample("rmf_subscriptions", floor.subscriptions)
    for door in floor.doors:
        yield MetricSample("rmf_door_depth", door.depth, (door.name,))
        yield MetricSample("rmf_door_capacity", door.capacity, (door.name,))


def _of_instruments(sources: Sources) -> Iterator[MetricSample]:
    instruments = sources.instruments
    yield MetricSample("rmf_commit_seconds", instruments.commit)
    yield MetricSample("rmf_fsync_seconds", instruments.fsync)
    yield MetricSample("rmf_execute_seconds", instruments.execute)
    yield MetricSample("rmf_arbiter_step_seconds", instruments.steps.time)
    yield MetricSample("rmf_arbiter_step_cpu_seconds", instruments.steps.work)
    yield MetricSample("rmf_expiries_crowd", instruments.crowd.here)
    yield MetricSample("rmf_dlq_storm", instruments.storm.raging)
    yield MetricSample("rmf_dlq_storms_total", instruments.storm.storms)
    yield MetricSample("rmf_leader_changes_total", instruments.changes.leader_changes)
    for kind in STRIKES:
        yield MetricSample("rmf_strikes_total", instruments.changes.strikes.get(kind, 0), (kind,))
    audits = instruments.audits
    yield MetricSample("rmf_audited_ticks_total", audits.done)
    yield MetricSample("rmf_diverged_total", audits.differences)
    for why in SKIPPED:
        yield MetricSample("rmf_audit_skipped_total", audits.skipped.get(why, 0), (why,))
    for reason in REASONS:
        count = instruments.bagged.counts.get(reason, 0)
        yield MetricSample("rmf_bagged_by_reason_total", count, (reason,))
