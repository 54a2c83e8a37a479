"""Glove boxes: the processes in which the user's line runs, and the tasks that own them.

GLOVE_BOX serves the reign, SPARE_BOX stands ready, AUDIT runs the past again in a box of its own,
DRY_RUN_TASK tries a packet. `box_keeper` owns any of them.
"""
