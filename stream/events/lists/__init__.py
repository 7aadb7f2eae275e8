"""Lists in events: their elements, and what an event keeps of them: one number, or one word of categories."""
