"""The good vectors of orders: what an operator wants done, and what people decide about letters."""

from typing import Any

from rmf.core import messages as m
from tools.vectors.entries import good

__all__ = ["order_entries"]


def order_entries() -> list[dict[str, Any]]:
    """Return the good vectors of orders."""
    n4 = {"node": "n4", "peer_address": "10.0.0.4:7510", "client_address": "10.0.0.4:7410"}
    learner = {
        "node": "n4",
        "address": "10.0.0.4:7410",
        "role": "learner",
        "match": 0,
        "voter": False,
    }
    return [
        good("query-add", "RMF-38", "A new member", m.Query(9, "admin.add", n4)),
        good("query-transfer", "RMF-38", "To the fittest", m.Query(10, "admin.transfer", {})),
        good(
            "query-strike",
            "RMF-38",
            "A node that is to be left in peace",
            m.Query(11, "admin.strike", {"end": False, "why": "new fan"}),
        ),
        *_triage(),
        good("item-members", "RMF-38", "One of the members", m.Item(9, {"members": [learner]})),
        good(
            "end-change-pending",
            "RMF-38",
            "One change of the members at a time",
            m.End(12, "change_pending", "n4 is a learner still; try again once it votes"),
        ),
    ]


def _triage() -> list[dict[str, Any]]:
    group = {"act": "resolve", "why": "probe 3 was replaced", "group": "2-9f6d5a1c55970504"}
    ids = ["3.1841.0", "3.1841.1"]
    redrive = {"act": "redrive", "why": "line 8", "letters": ids, "job": "night"}
    edge = {"act": "purge", "why": "secrets", "letters": ["n1:edge:12"]}
    return [
        good("query-triage", "RMF-38", "A group is resolved", m.Query(13, "admin.triage", group)),
        good("query-redrive", "RMF-38", "A job is frozen", m.Query(14, "admin.triage", redrive)),
        good("item-triage", "RMF-38", "The Entry that says so", m.Item(13, {"index": 981})),
        good(
            "query-triage-edge",
            "RMF-38",
            "A letter of this node's edge is purged",
            m.Query(15, "dlq.triage_edge", edge),
        ),
        good("item-triage-edge", "RMF-38", "It was there", m.Item(15, {"matched": 1})),
    ]
