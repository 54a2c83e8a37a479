"""What a node keeps on its disk, and the tasks that alone touch it: one thread each (R17).

LEDGER_KEEPER, CHECKPOINT_KEEPER and DLQ_KEEPER write; CATCH_UP reads what peers lack; FILE_TURNS
says who may move files; DISK_WATCH looks at the room that is left.
"""
