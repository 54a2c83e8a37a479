"""The real floor under virtual time, and a nemesis over its tasks (R46).

    python -m tests.nemesis --seeds 1-2000 --processes 2
    python -m tests.nemesis --nodes 3 --seeds 1-400 --processes 2

Everything is the node's own: tasks, doors, threads, sockets, files, signals. Only time is not, and
the drive may be slow, hang, fail or be full. To read in order:

    clock      virtual time, which never passes a thread that works
    trouble    the drive in the way, and in page_cache what it loses with its power
    saboteur   tasks that fail and hang
    people     producers, a display, rude clients, and what they were promised
    seed       one seed: some lives of one node, healed, and judged
    machine    where one of several nodes lives, again and again
    links      the wires between several
    havoc      what goes wrong with several
    three      one seed with three nodes, of which one is lost in the end
"""
