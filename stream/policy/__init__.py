"""From scores to one strategy per decision: who may get which, what each is worth, and why not."""
