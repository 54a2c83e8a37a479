"""The simulator at work: seeds, the same history twice, and bugs that it must find."""
