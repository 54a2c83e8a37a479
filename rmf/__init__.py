"""RMF, the Robust Micro-Factory."""
