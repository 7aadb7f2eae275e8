"""In which order several event topics are taken, and how a worker that takes over does the same."""
