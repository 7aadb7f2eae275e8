"""Training on a history that is larger than memory: what it takes in time and in memory."""
