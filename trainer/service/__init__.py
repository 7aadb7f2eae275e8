"""Training again and again for months: ticks, retries, and one watched child process each time."""
