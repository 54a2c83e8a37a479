"""What an operator may ask of a node: members, hand-over, Checkpoint, strike, triage (R17, R28).

Decides whether an act is possible now and what it makes of the members; the Entry that says so is
written by the reign, and the operator hears of it once it is committed. Also the two acts a leader
does by itself: a learner that has caught up becomes a voter, and the cluster's version follows the
release of its members (R30).
"""

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from rmf import limits
from rmf.core import events as ev
from rmf.core.entry import Member, Members, Settings, Version
from rmf.core.entry_kinds import CLUSTER_VERSION, SETTINGS_VERSION, TRIAGE_VERSION
from rmf.core.raft.quorum import has_majority
from rmf.core.raft.raft_node import Raft
from rmf.core.triage import Triage, triage_of

__all__ = [
    "Denied",
    "added",
    "chores",
    "has_chores",
    "removed",
    "settings",
    "successor",
    "triaged",
]


class Denied(NamedTuple):
    """Why an act is not done: a code of the error table and a sentence."""

    code: str
    text: str


def _denied_change(raft: Raft) -> Denied | None:
    if not raft.may_change_members:
        return Denied("change_pending", "another change of members is under way; ask again")
    return None


def added(
    raft: Raft, args: Mapping[str, Any], met: Mapping[str, ev.PeerMet], now_ns: int
) -> Members | Denied:
    """Return the members with a node that learns (R28). A wiped node comes back in the same way,
    under its old name: only then may it learn, and later vote, again. Of one that is a member
    already the same members are written again: a leader that was deposed and has not noticed would
    else say `done` of what is so no more, or not yet."""
    name, peer, client = (args.get(key) for key in ("node", "peer_address", "client_address"))
    if type(name) is not str or type(peer) is not str:
        return Denied("wrong_shape", "admin.add needs `node` and `peer_address`, both text")
    who = met.get(name)
    if who is None:
        return Denied(
            "not_ready",
            f"node {name!r} has not called on this one yet: start it with --peers that name this"
            f" cluster, then ask again",
        )
    address = client if type(client) is str and client else who.client_address
    known = raft.membership.member(name)
    if (denied := _denied_change(raft)) is not None:
        return denied
    if known is not None and known.incarnation == who.incarnation:
        return Members(list(raft.members), f"{name} is a member already")
    if known is None and len(raft.members) >= limits.MEMBERS_MAX:
        return Denied("not_possible", f"a cluster has at most {limits.MEMBERS_MAX} members")
    learner = Member(name, who.incarnation, peer, address, voter=False)
    others = [member for member in raft.members if member.name != name]
    if not any(member.voter for member in others):
        return Denied("not_possible", f"{name!r} is the only voter: no other could admit it again")
    why = f"{name} {'comes back' if known is not None else 'joins'} as a learner"
    return _unless_it_stalls(raft, Members([*others, learner], why), now_ns)


def removed(raft: Raft, args: Mapping[str, Any], now_ns: int) -> Members | Denied:
    """Return the members without a node."""
    name = args.get("node")
    member = raft.membership.member(name) if type(name) is str else None
    if member is None:
        return Denied("no_such_member", f"there is no member {name!r}")
    if (denied := _denied_change(raft)) is not None:
        return denied
    others = [other for other in raft.members if other.name != name]
    if not any(other.voter for other in others):
        return Denied("not_possible", f"{name!r} is the last voter: a cluster needs one")
    return _unless_it_stalls(raft, Members(others, f"{name} leaves"), now_ns)


def _unless_it_stalls(raft: Raft, change: Members, now_ns: int) -> Members | Denied:
    """Refuse a change that those who would vote after it could not commit: a voter that is away,
    lags or repairs itself may need the very one that leaves."""
    leads = raft.leadership
    assert leads is not None
    voters = [member.name for member in change.members if member.voter]
    since_ns = now_ns - raft.timing.election_max_ns
    here = {raft.name}
    for name, peer in leads.peers.items():
        if peer.counts and peer.state == "replicate" and peer.contact_ns >= since_ns:
            here.add(name)
    if has_majority(here, voters):
        return change
    away = ", ".join(name for name in voters if name not in here)
    text = f"afterwards no majority would be here: {away} must be back and have caught up first"
    return Denied("not_ready", text)


def triaged(raft: Raft, args: Mapping[str, Any], by: str, version: int) -> Triage | Denied:
    """Return what is written of a decision about letters (R40)."""
    if version < TRIAGE_VERSION:
        text = f"the cluster's version is {version}: every node needs this release of RMF first"
        return Denied("not_ready", text)
    if not raft.may_propose:
        return Denied("not_ready", "leadership is being handed over; ask again")
    found = triage_of(args, by)
    return Denied("wrong_shape", f"admin.triage: {found}") if isinstance(found, str) else found


def settings(args: Mapping[str, Any], by: str, version: int) -> Settings | Denied:
    """Return what is written of the election time-outs that are wanted (R28)."""
    if version < SETTINGS_VERSION:
        text = f"the cluster's version is {version}: every node needs this release of RMF first"
        return Denied("not_ready", text)
    low_ms, high_ms = args.get("election_min_ms"), args.get("election_max_ms")
    if type(low_ms) is not int or type(high_ms) is not int:
        text = "admin.set needs `election_min_ms` and `election_max_ms`, both integers"
        return Denied("wrong_shape", text)
    if not limits.ELECTION_MS_LEAST <= low_ms <= low_ms * 5 // 4 <= high_ms:
        text = f"at least {limits.ELECTION_MS_LEAST} ms, and the second a quarter above the first"
        return Denied("not_possible", f"election time-outs of {low_ms} to {high_ms} ms: {text}")
    if high_ms > limits.ELECTION_MS_MOST:
        return Denied("not_possible", f"election time-outs above {limits.ELECTION_MS_MOST} ms")
    return Settings((low_ms, high_ms), by)


def successor(raft: Raft, args: Mapping[str, Any], avoid: Collection[str] = ()) -> str | Denied:
    """Return who shall lead next; it may lead already. Who is to `avoid` leads if it is named."""
    leads = raft.leadership
    assert leads is not None
    name = args.get("node") or leads.handover.successor(avoid)
    if type(name) is not str:
        return Denied("not_possible", "there is no other voter to hand over to")
    if not raft.membership.is_voter(name):
        return Denied("no_such_member", f"there is no voter {name!r}")
    return name


def has_chores(raft: Raft, version: int) -> bool:
    """Whether there may be anything that a leader should write by itself: asked at each step."""
    return version < CLUSTER_VERSION or raft.membership.has_learners


def chores(
    raft: Raft, version: int, met: Mapping[str, ev.PeerMet], release: str
) -> Members | Version | None:
    """Return what a leader should write by itself now, or None."""
    leads = raft.leadership
    if leads is None or not raft.may_change_members:
        return None
    if version < CLUSTER_VERSION:
        others = raft.membership.others(raft.name)
        known = [met[name].version for name in others if name in met]
        if len(known) == len(others) and all(x >= CLUSTER_VERSION for x in known):
            return Version(CLUSTER_VERSION, release)
        return None
    for member in raft.members:
        peer = leads.peers.get(member.name)
        if member.voter or peer is None or not peer.counts or peer.state != "replicate":
            continue
        if peer.match >= raft.log.commit:
            voting = [x._replace(voter=x.voter or x is member) for x in raft.members]
            return Members(voting, f"{member.name} has caught up and votes")
    return None
