"""Commands that look at what is on the topics, was decided, or would be, and change nothing."""
