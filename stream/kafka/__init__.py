"""Kafka's record batches as columns, both ways; chunks of a log, and whether it is still the same log."""
