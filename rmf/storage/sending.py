"""What is on its way to peers, and has to stay until they have it (R25, R28).

A peer that is far behind gets a Checkpoint, and then the Entries behind it; over a slow link that
takes longer than this node needs for its next Checkpoints. So a sender notes here from which
Entry on history is needed, and the task that sheds history asks. It knows names, indexes and times,
no files. A peer that has not been sent anything for SENDING_S_MAX needs nothing any more.
"""

from rmf import limits

__all__ = ["Sending"]


class Sending:
    """Times are seconds of one clock that only goes forward. For one thread."""

    def __init__(self) -> None:
        self._needs: dict[str, tuple[int, float]] = {}
        self._is_given_up = False

    def needs(self, peer: str, index: int, now_s: float) -> None:
        """This peer is being sent what stands behind this Entry, or a Checkpoint of it."""
        self._needs[peer] = (index, now_s)

    def peers(self, now_s: float) -> list[str]:
        """Return who is being sent something."""
        since_s = now_s - limits.SENDING_S_MAX
        self._needs = {name: need for name, need in self._needs.items() if need[1] >= since_s}
        return list(self._needs)

    def oldest(self, now_s: float) -> int | None:
        """Return from which Entry on history is needed; None: by no peer."""
        return min((self._needs[name][0] for name in self.peers(now_s)), default=None)

    def give_up(self) -> list[str]:
        """Release everything: there is no room for it. Returns who will have to start over."""
        peers = list(self._needs)
        self._needs.clear()
        self._is_given_up = True
        return peers

    def take_given_up(self) -> bool:
        """Return whether everything was given up since this was asked last: then nothing of it may
        be held open either, for what is open takes room."""
        found, self._is_given_up = self._is_given_up, False
        return found
