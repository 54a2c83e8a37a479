"""Everything that waits: trio tasks, one per file, joined by memory channels only (R14).

    doors, items    every channel: what, from, to, how many, what happens when full
    supervisor      restarts, and the letter for what a failing task held (R15)
    children        every task, its policy, and what stands in for it once it is given up
    stand_ins       what serves the doors of such a task
    file_turns      whose turn it is to move files of the ledger
    ingest          the port: connections come in        connection, handshake   one of them
    arbiter         the loop around core/arbiter         ledger_keeper           its disk
    beats               what is due with no client there
    publisher       Snapshots go out                     dlq_keeper              letters go in
    feeder, logging_feeder   one subscription each: the newest, or every Tick, out of the
    picture, history         feed or the ledger; made at the desk, in slices, and said by speech
    clients, peers  the connections' answers doors, and the doors of links, which outlive a core
    peering         the node among its peers             peer_port, peer_connection   they come in
    peer_link, peer_writer   a link to one of them       peer_links  which there are
    founding        how it comes to a cluster            peer_front  all of it together
    checkpoint_keeper   Checkpoints and archive          disk_watch              watermarks
    catch_up, letter_fetch   what peers lack, and what this node does   data_front  all of it
    recovery        from the disk to a state             serve                   all of it together
    life, ground    one core after the other, and what outlives them

Tasks never import each other; `serve` and `supervisor` know them all.
"""
