"""Budgets: what contacts may cost in all, drawn from one log in small amounts before they are spent."""
