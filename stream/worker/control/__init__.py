"""The topics beside events that workers follow: what operators switch, and draws of budgets."""
