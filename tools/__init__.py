"""The commands of RMF, one file each; none of them knows the floor (DESIGN §14)."""
