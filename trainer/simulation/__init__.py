"""`opportune simulate`: a policy over history, beside the one in force: who is contacted, which rules fire."""
