"""Kafka's record batches as columns, both ways, and the consumer that hands them out in chunks."""
