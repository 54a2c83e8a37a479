"""The line: what users write, and what runs it (R19 to R22).

It knows the core's values (Batch in, Executed out), and neither the floor nor the disk. To read in
order:

    line, board, load      handlers on topics; the built-in line; from `--line` to a Line
    values, payload        what a cell may hold; what a packet may bring
    structure              from a payload to the class that a handler declared
    view                   what a handler sees of World, packet and cell
    changes, inline        from a result to changes; a batch, slot by slot
"""

from rmf.line.board import board
from rmf.line.inline import Inline
from rmf.line.line import Line
from rmf.line.load import load_line
from rmf.line.values import REMOVE, Fresh, Keep, encode_value
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
