"""Records that hold a batch of events: where each stands, and what it takes from around it."""
