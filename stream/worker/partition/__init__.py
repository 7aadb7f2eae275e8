"""The life of a partition in a worker: what it holds, what it may take, and in which order."""
