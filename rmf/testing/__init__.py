"""The simulator: a whole factory on one event heap, with virtual time (R12).

Real cores (Arbiter, Raft, line), real client libraries without I/O, and around them a network,
disks and people that misbehave by a seed. It reads no clock and waits for nothing, so hours pass in
a minute, and the same seed gives the same history. To read in order:

    agenda, dice, clock     what happens when; randomness, one stream a consumer; clocks that drift
    options, knobs          what a seed decides, as text; bounds made small so that they are reached
    network, ports          messages that are lost, doubled, late, and who is let in; clients' lines
    disk, rebirth           records that are torn, rotten, lost; from a disk to a core
    node, performing,       a process: its clock, its core, its lives; its effects, done; Entries
    catching_up             and Checkpoints for peers that are far behind
    workload, producers,    a line, and who uses it
    readers, operators
    nemesis                 what goes wrong
    books, audit            the one history that is committed; what it may hold
    invariants, promises    what must hold after every step; what people were told (`watch` passes
                            on what happens, `violation` is what a checker raises)
    liveness                what must come about once all is healed
    cluster, run, swarm     all of it; one seed; many
"""
