"""History in shards, replayed with the worker's kernel: what was known and what was done, when."""
