"""Lists in events: their elements, added up to one number, or kept as a few words of categories."""
