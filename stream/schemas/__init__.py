"""The schema registry: what it has is fetched once and kept, and while it does not answer it is waited for."""
