"""What is remembered of customers: the table of a partition, its rows as changelog records."""
