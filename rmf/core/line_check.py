"""How this node's line stands to the one of the reign, and what is run again here (R21).

Decides when people hear that the lines differ, that a node with an older one yields in elections,
and which Entries an audit takes. It runs nothing; how two lines are compared, `lines` knows.
"""

import attrs

from rmf.core.effects import Effect, Note, RunAgain
from rmf.core.entry import LineId, TickBooks
from rmf.core.in_flight import InFlight
from rmf.core.line_versions import Kinship, compare_lines, is_sampled, line_text
from rmf.core.raft.raft_node import Raft

__all__ = ["LineCheck"]

_REMARKS = {
    "behind": ("line_behind", "it stands for election last; start it with the newer line"),
    "other": ("line_mismatch", "nothing it runs is compared; start it with the line of the reign"),
}


@attrs.define(eq=False)
class LineCheck:
    """`kinship` says how this node's line stands to the ledger's. Of what others executed
    `audit_ppm` in a million Entries are to be run again here."""

    _raft: Raft
    _line: LineId
    audit_ppm: int
    kinship: Kinship = "same"

    def compare(self, ledger: LineId) -> list[Effect]:
        """Compare with the line of the accession in force: a node with an older one lets others
        lead if any can, and people hear of it."""
        before, self.kinship = self.kinship, compare_lines(self._line, ledger)
        self._raft.voting.yields = self.kinship == "behind"
        alone = len(self._raft.members) < 2  # then it reigns itself, in a moment
        if self.kinship == before or self.kinship not in _REMARKS or alone:
            return []
        event, text = _REMARKS[self.kinship]
        fields = {"line": line_text(self._line), "ledger": line_text(ledger), "why": text}
        return [Note("warning", event, fields)]

    def audit(self, done: InFlight) -> list[Effect]:
        """Have a committed Entry run again, if it belongs to the sample and this node can tell what
        should come of it: another node ran it, with this very line."""
        books = done.entry.books
        if (
            not isinstance(books, TickBooks)
            or not (books.frames or books.expiries)
            or not is_sampled(done.index, self.audit_ppm)
            or done.before.line != self._line
            or books.line_version != self._line.version
        ):
            return []
        pin = done.before.world.index.pin()
        return [RunAgain(done.index, done.state.term, done.entry, books, done.before, pin)]
