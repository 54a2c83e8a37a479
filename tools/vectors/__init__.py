"""What `rmf_vectors` writes into `protocol/`: vectors, sessions and the generated tables."""
