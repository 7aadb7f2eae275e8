"""Event times: from what senders write to epoch milliseconds that are not after their records."""
