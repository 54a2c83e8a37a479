"""The glove box: the process of its own in which a line runs (R19, R20).

It isolates faults, not malice. `process` is what runs inside, `handle` the node's hold on it,
`pipe` what they say to each other, `marker` the few words of memory they share, `cache` the cells
that a box knows, `trial` the rules by which a packet is found guilty of a time-out or a death.

The floor's task around it is floor/glove_box; nothing here knows trio.
"""
