"""Health: whether this node lives, is ready, and reigns, from facts alone.

Three questions, so that a node that only strikes is not restarted: *live* is a process that is of
use, be it as evidence (R17); *ready* is a node that takes part in a factory with a king; *leader*
is the king. Pure functions from facts to a status and a text; they know no HTTP but its numbers.
"""

from collections.abc import Collection
from typing import Any, NamedTuple

from rmf import limits

__all__ = ["Check", "HealthAnswer", "leader", "live", "ready"]

Facts = dict[str, Any] | None


class Check(NamedTuple):
    """One condition; `why` says what is wrong, "" if nothing is."""

    name: str
    why: str


class HealthAnswer(NamedTuple):
    """An answer: the status of HTTP, and a human-readable text."""

    status: int
    text: str


def live(facts: Facts, last_step_age_s: float) -> HealthAnswer:
    """Return 200 while the Arbiter's loop turns, or while it is being loaded."""
    check = _turns(facts, last_step_age_s)
    if check.why:
        return HealthAnswer(503, f"not live: {check.why}\n")
    strike = _strike(facts)
    return HealthAnswer(200, f"live, on strike: {strike}\n" if strike else "live\n")


def ready(
    facts: Facts, last_step_age_s: float, *, verbose: bool = False, exclude: Collection[str] = ()
) -> HealthAnswer:
    """Return 200 if all checks but the excluded ones are well; else 503 with what is not, a check
    a line. `verbose` shows all of them."""
    checks = _checks(facts, last_step_age_s)
    names = [check.name for check in checks]
    judged = [check for check in checks if check.name not in exclude]
    failed = [check for check in judged if check.why]
    lines = [
        f"[-]{check.name} failed: {check.why}" if check.why else f"[+]{check.name} ok"
        for check in (judged if verbose else failed)
    ]
    if verbose:
        lines += [f"[ ]{name} excluded" for name in names if name in exclude]
    lines += [
        f"[?]{name}: there is no such check; there are {', '.join(names)}"
        for name in sorted(set(exclude) - set(names))
    ]
    lines.append("not ready" if failed else "ready")
    return HealthAnswer(503 if failed else 200, "\n".join(lines) + "\n")


def leader(facts: Facts) -> HealthAnswer:
    """Return 200 if this node reigns, for who sends everything to the leader."""
    if facts is None:
        return HealthAnswer(503, "unknown: the ledger is being read\n")
    if facts["role"] == "leader" and facts["strike"] is None:
        return HealthAnswer(200, f"{facts['node']} reigns in term {facts['term']}\n")
    who = facts["leader"]
    known = f"the leader of term {facts['term']} is {who}" if who else "no leader is known"
    return HealthAnswer(503, f"{facts['node']} does not reign: {known}\n")


def _checks(facts: Facts, last_step_age_s: float) -> list[Check]:
    read = Check("ledger_read", "" if facts is not None else "the ledger is being read")
    strike = _strike(facts)
    known = facts is not None and facts["leader"] is not None
    return [
        read,
        _turns(facts, last_step_age_s),
        Check("no_strike", strike),
        Check("leader_known", "" if known else "no reigning Arbiter is known"),
    ]


def _turns(facts: Facts, last_step_age_s: float) -> Check:
    """Whether the Arbiter's loop turns; while the ledger is read there is none."""
    hangs = facts is not None and last_step_age_s > limits.LIVE_S_MAX
    why = f"the Arbiter has not moved for {last_step_age_s:.1f} s, though beats are due"
    return Check("arbiter", why if hangs else "")


def _strike(facts: Facts) -> str:
    strike = facts["strike"] if facts is not None else None
    return f"{strike['kind']}: {strike['why']}" if strike is not None else ""
