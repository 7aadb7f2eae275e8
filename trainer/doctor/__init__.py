"""`opportune doctor`: what the event topics of a campaign really hold, and what to do about it."""
