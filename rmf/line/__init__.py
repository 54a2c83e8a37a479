"""The line: what users write, and what runs it (R19 to R22).

It knows the core's values (Batch in, Executed out), and neither the floor nor the disk. To read in
order:

    line, board, load      handlers on topics; the built-in line; from `--line` to a Line
    values, payload        what a cell may hold; what a packet may bring
    structure              from a payload to the class that a handler declared
    view                   what a handler sees of World, packet and cell
    changes, inline        from a result to changes; a batch, slot by slot

and what runs history again:

    laid_out               a Tick of the ledger as a Batch, whole or in part
    rerun, replay          a Tick by the line that wrote it; a ledger, to its first difference
    retry, what_if,        a Tick by another line; a ledger by another line; what came out
    differences            otherwise (patience interrupts what loops)
    scene, rehearsal       a single slot, set up as it was; its handler, called by itself
    apart, witness         the same in a child process; what a handler reads
    child_process          a job in a fork of this process, bounded; what any such process needs
"""

from rmf.line.board import board
from rmf.line.cell_values import REMOVE, Fresh, Keep, encode_value
from rmf.line.inline import Inline
from rmf.line.line import Line
from rmf.line.load import load_line
from rmf.line.view import CellView, Packet, WorldView

__all__ = [
    "REMOVE",
    "CellView",
    "Fresh",
    "Inline",
    "Keep",
    "Line",
    "Packet",
    "WorldView",
    "board",
    "encode_value",
    "load_line",
]
