"""The contact rows of a worker's partitions: restored before they begin, written before their features."""
