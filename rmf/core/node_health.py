"""Whether a node is on strike, in touch with a reign, and live (R17, R36).

Decides what follows from a fault that was declared, from consensus, and from what is committed; it
declares none and sends nothing. Answers are kept until something happens.
"""

import attrs

from rmf.core.committed_state import CommittedState
from rmf.core.live import Live
from rmf.core.raft.raft_node import Raft

__all__ = ["NodeHealth"]


@attrs.define(eq=False)
class NodeHealth:
    """`fault` is kind and reason of a strike that was declared, `unfounded` what a node waits for
    that belongs to no cluster; `now_ns` is the boot time of the step under way."""

    _raft: Raft
    _settled: CommittedState
    live: Live
    now_ns: int = 0
    fault: tuple[str, str] | None = None
    unfounded: str | None = None
    _knows_a_reign: bool = False  # as it was looked at last
    _touch_is_old: bool = True  # something happened since
    _live_is_old: bool = True

    def look_again(self) -> None:
        """Something happened: what was judged before does not count any more."""
        self._touch_is_old = self._live_is_old = True

    @property
    def is_live(self) -> bool:
        """Whether what is shown is what the factory shows by now (R36)."""
        if self._live_is_old:
            self._live_is_old = False
            self.live.judge(self.now_ns, in_touch=self.in_touch)
        return self.live.value

    @property
    def in_touch(self) -> bool:
        """Whether this node is not on strike and knows of a reigning Arbiter. Its own reign counts
        from its first commit on: before, a display may have seen newer pictures elsewhere (R36)."""
        if self._touch_is_old:
            self._touch_is_old, raft = False, self._raft
            self._knows_a_reign = (
                self.fault is None
                and (raft.leadership is None or self._settled.state.term == raft.term)
                and raft.in_touch(self.now_ns)
            )
        return self._knows_a_reign

    @property
    def strike(self) -> tuple[str, str] | None:
        """Kind and reason of the strike that this node is on, or None (R17)."""
        if self.fault is not None:
            return self.fault
        if self.in_touch:
            return None
        if self.unfounded is not None:
            return ("no_reign", self.unfounded)
        why = "no reigning Arbiter was heard of for an election time-out"
        if self._raft.role == "candidate" or not self._settled.state.index:
            why = "the election is not over yet"
        known = self._raft.membership.voters
        return ("no_reign", f"{why}: {self._raft.presence.turnout}" if known else why)

    def why_not_live(self) -> str | None:
        """Return why what this node shows may be old, or None."""
        if self.is_live:
            return None
        if (strike := self.strike) is not None:
            return strike[1]
        return self.live.why_not(self.now_ns) or "it has not been judged yet"

    @property
    def tick(self) -> int:
        """The tick that it is now, as far as this node knows: not before the last one."""
        return max(self._settled.state.tick, self._raft.pace.tick_at(self.now_ns))
