"""The whole funnel beside none of it: what rules about contacts, hold-outs and exploration cost."""
