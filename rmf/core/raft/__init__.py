"""Consensus: who reigns, and which Entries are committed.

For now a cluster has one member (`solo`), and the seam is exactly what the Arbiter asks of it. What
comes in 2/3 fills the same seam:

    campaign()          start an election                     -> effects
    propose(body)       append an Entry of this term          -> (index, chain), effects
    persisted(ticket)   our own disk has it                   -> effects
    role, term, leader, commit, last_index, chain             read by the Arbiter after each step

`Persist` effects are the only output of a cluster of one; messages to peers will be the other.
Departures from the dissertation: none yet, since nothing of it is left out for one member: the vote
for oneself and every Entry are on disk before anything that depends on them (R2, R13).
"""
