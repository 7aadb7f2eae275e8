"""Keys of records: whether they are the customer, and which partitioner has placed them."""
