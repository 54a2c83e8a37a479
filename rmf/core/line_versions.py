"""The lines of two sides compared: this node's and the ledger's, a peer's and this node's (R21).

Decides which line is older, and which Ticks a follower's audit takes. A line's version only counts
among lines of one name; an equal version with another source is another line, for results of the
two cannot be compared. Pure functions over values.
"""

from collections.abc import Mapping
from typing import Literal

from rmf.core.entry import LineId
from rmf.core.events import PeerMet

__all__ = ["Kinship", "compare_lines", "is_sampled", "line_text", "nodes_with_older_line"]

Kinship = Literal["same", "ahead", "behind", "other"]

_MILLION = 1_000_000


def compare_lines(line: LineId, ledger: LineId) -> Kinship:
    """Return how a line stands to that of the accession in force; without one it is the same."""
    if not ledger.version or line == ledger:
        return "same"
    if line.name != ledger.name or line.version == ledger.version:
        return "other"
    return "behind" if line.version < ledger.version else "ahead"


def line_text(line: LineId) -> str:
    """Return a line as people read it; the digest tells two of one version apart."""
    return f"{line.name} {line.version} ({line.digest.hex()[:8]})"


def nodes_with_older_line(met: Mapping[str, PeerMet], line: LineId) -> frozenset[str]:
    """Return the nodes whose line is older than this one. Who did not say is none of them."""
    return frozenset(
        name
        for name, peer in met.items()
        if peer.line is not None and compare_lines(peer.line, line) == "behind"
    )


def is_sampled(index: int, share_ppm: int) -> bool:
    """Whether the Entry of that index belongs to a sample of `share_ppm` in a million, spread
    evenly: the same on every node and in every life of it (R12: no dice)."""
    return index * share_ppm // _MILLION != (index - 1) * share_ppm // _MILLION
