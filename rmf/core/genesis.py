"""Whether a node without a cluster makes one, joins one, or waits (R29): one pure decision.

It knows what this node is and what each listed peer answered in one round of questions; who asks,
how often, and what is written where says floor/founding.

Theory. One cluster, never two: only the lowest of the listed names may found, only if every listed
peer answered in this round that it belongs to none, and only if all list the same names. A node
that meets a cluster joins it if that cluster's members name it with this very data directory; else
it was wiped, or is new, and an operator has to let it in. A crash changes nothing of this: what was
not yet founded asks again, and what was founded before is an answer for the others.
"""

from collections.abc import Mapping
from typing import Literal, NamedTuple

from rmf.core.entry import Member
from rmf.core.raft.greetings import Own, Welcome

__all__ = ["Answers", "Step", "decide"]

Answers = Mapping[str, Welcome | None]  # by listed name, this node's left out; None: no answer


class Step(NamedTuple):
    """What to do: `wait` and ask again; `found` a cluster of `members`; `adopt` the `cluster`; or
    `wait_for_admin`: ask again, but only an operator can change it. `why` is human-readable."""

    do: Literal["wait", "found", "adopt", "wait_for_admin"]
    why: str
    cluster: bytes | None = None
    members: tuple[Member, ...] = ()


def decide(own: Own, answers: Answers) -> Step:
    """Return what a node without a cluster does after a round of questions."""
    there = {name: answer for name, answer in answers.items() if answer is not None}
    clusters = {x.cluster for x in there.values() if x.cluster is not None}
    if len(clusters) > 1:
        found = ", ".join(sorted(x.hex() for x in clusters))
        return Step("wait_for_admin", f"the listed peers belong to different clusters: {found}")
    for answer in there.values():
        if answer.cluster is not None and answer.member:
            return Step("adopt", f"{answer.node} names this node a member", answer.cluster)
    if clusters:
        named = ", ".join(sorted(name for name, x in there.items() if x.cluster is not None))
        reached = own.peer_address or "HOST:PORT"  # where peers connect to it
        return Step(
            "wait_for_admin",
            f"{named}: of a cluster of which this data directory ({own.incarnation.hex()}) is no "
            f"member. Let it in with: rmf-admin add {own.node} {reached}",
        )
    return _without_a_cluster(own, answers, there)


def _without_a_cluster(own: Own, answers: Answers, there: Mapping[str, Welcome]) -> Step:
    """No node that answered belongs to a cluster."""
    if own.node != min([own.node, *answers]):
        return Step("wait", f"{min(answers)}, the lowest of the listed names, makes the cluster")
    missing = sorted(set(answers) - set(there))
    if missing:
        return Step("wait", f"no answer yet from {', '.join(missing)}")
    names = sorted({own.node, *answers})
    for name, answer in sorted(there.items()):
        if sorted(answer.listed) != names:
            theirs = ", ".join(sorted(answer.listed)) or "no node"
            return Step("wait", f"{name} lists {theirs}; this node {', '.join(names)}: see --peers")
    if len({own.incarnation, *(x.incarnation for x in there.values())}) < len(names):
        return Step("wait", "two nodes have copies of one data directory: empty one of them")
    return Step("found", "all listed peers are empty", members=_members(own, there))


def _members(own: Own, there: Mapping[str, Welcome]) -> tuple[Member, ...]:
    everybody: list[Own | Welcome] = [own, *there.values()]
    found = [Member(x.node, x.incarnation, x.peer_address, x.client_address) for x in everybody]
    return tuple(sorted(found))
