"""The simulator: a whole factory on one event heap, with virtual time (R12).

Real cores (Arbiter, Raft, line), real client libraries without I/O, and around them a network,
disks and people that misbehave by a seed. It reads no clock and waits for nothing, so hours pass in
a minute, and the same seed gives the same history. To read in order:

    agenda, dice            what happens when; randomness, one stream a consumer
    options, knobs          what a seed decides, as text; bounds made small so that they are reached
    network, handshake      messages that are lost, doubled, late; who is let in
    disk, rebirth           records that are torn, rotten, lost; from a disk to a core
    node, performing        a process: its clock, its core, its lives; effects done
    workload, producers,    a line, and who uses it
    readers, displays
    nemesis, operators      what goes wrong; who repairs and changes things
    books, invariants,      the truth; what must hold after every step; what must come about once
    liveness                all is healed
    cluster, run, swarm     all of it; one seed; many
"""
