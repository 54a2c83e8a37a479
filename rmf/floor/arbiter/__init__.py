"""The core at work: one task takes its events, performs its effects (R14, R21).

ARBITER_LOOP turns what comes through its doors into events, in their order; `core_runner` performs
the effects. BEATS tell it the time. `node_resources` outlive a core that is made again, and
`recover_node` reads its state from the disk. `clients` and `peers` are the doors of connections and
links.
"""
