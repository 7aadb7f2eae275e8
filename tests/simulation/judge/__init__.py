"""What is right at the end of a history, recomputed from what the topics hold."""
