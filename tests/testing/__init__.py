"""Tests of the simulator itself: its parts, and that its checkers can fail."""
