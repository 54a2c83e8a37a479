"""Everything that waits: trio tasks, one per file, joined by memory channels only (R14).

All of it, by role: this folder holds the tree and the doors, a folder per role the tasks. What
stands in capitals is a task; tasks never import each other: `serve` and `supervisor` know them all.

    a node        serve: starts and stops it         supervisor, children: every task, its policy
                  stopping, ready, rebooted          stand_ins: what serves after it was given up
                  companion: the demo                restoring: the directory of one that starts
                  node_clock: what time it is        wheel: when much else is due
                  instruments, log
    doors         doors: every channel, on a page    items: what passes there
                  latest: of depth 1, the newest     asking: a question, and its answer

    arbiter/      core_runner: one after the other   node_resources: what outlives them
                  ARBITER_LOOP                       steps: how long a step takes
                  clients, peers: their doors        in_progress: what a failure is explained with
                  BEATS                              expiry_alarm, storm: too much ends or fails
                  recover_node: disk to state

    data/         LEDGER_KEEPER                      CHECKPOINT_KEEPER
                  DLQ_KEEPER                         DISK_WATCH
                  CATCH_UP: what peers lack          FILE_TURNS: who may move files
                  data_front: put together           collector: Python's own

    edge/         INGEST: the port                   acceptor: how each port takes them in
    a client's    CONNECTION: one of them            strangers: who never said HELLO
    connection    receiving, at_once: its bytes      intake_end: the door to the arbiter
                  reader: for all that wait          outbox: what is said
                  edge_triage: orders about letters  inquiry: questions about them, backups

    displays/     PUBLISHER                          news: what it hears
                  published_world: what all see      desk: where the work is done, in slices
                  feeder, logging_feeder: one each   rounds: for all that wait
                  history: Ticks of the past         snapshot_writer: what is written to one

    links/        PEERING: who is let in             peer_front: put together
    other nodes   PEER_PORT, PEER_CONNECTION         PEER_LINK, peer_links, peer_writer
                  FOUNDING: to come to a cluster     dialling: to call one
                  LETTER_FETCH                       letterbox: the other side of that

    boxes/        GLOVE_BOX: of the reign            box_keeper: of any
                  SPARE_BOX: that stands ready       AUDIT, AUDIT_BOX: runs the past again
                  DRY_RUN_TASK                       line_front: where the line runs

    web/          HTTP: the port                     http_exchange: one connection
                  http_answers, health, metrics      readings, web_front: where these read

Two are joined to others past all doors, and it is written down here because no rule finds it: what
came for a connection is served by `reader` in its turn, and what is due to a display is said by
`rounds`, each by a call of it. What has to wait wakes the connection's or the display's own task.
"""
