"""What subscribers are shown of what is committed, and when the same is shown again (R36).

Decides when nothing changed but that it is live now, or is it no longer, or that its clock has gone
wrong. It sends nothing: each picture is an effect.
"""

import attrs

from rmf.core.committed_state import CommittedState
from rmf.core.effects import Effect, Publish
from rmf.core.node_health import NodeHealth
from rmf.core.raft.raft_node import Raft
from rmf.core.state import NOTHING, Applied

__all__ = ["Publishing"]


@attrs.define(eq=False)
class Publishing:
    """It remembers what it showed last."""

    _raft: Raft
    _settled: CommittedState
    _health: NodeHealth
    _shown: Publish | None = None

    def show(self, applied: Applied = NOTHING) -> Publish:
        """Return what subscribers may see of the committed state, and what changed with it."""
        state, shown = self._settled.state, self._shown
        assert shown is None or shown.index <= state.index, "subscribers never go back (R36)"
        self._shown = shown = Publish(
            term=state.term,
            tick=state.tick,
            index=state.index,
            digest=state.digest(),
            live=self._health.is_live,
            world=state.world,
            changed=applied.changed,
            removed=applied.removed,
            clock=self._raft.pace.clock_at(self._health.now_ns),
        )
        return shown

    def show_again(self, effects: list[Effect]) -> None:
        """Show the same once more if what was said with it is not right any more."""
        shown = self._shown
        if not self._settled.state.index or (
            shown is not None
            and shown.live == self._health.is_live
            and not self._raft.pace.differs(shown.clock, self._health.now_ns)
        ):
            return
        effects.append(self.show())
