"""`opportune explain`: one decision taken apart: what each stage dropped, what each strategy was worth, and why."""
