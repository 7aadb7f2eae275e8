"""From JSON to columns of events, and for each record that is none the reason why."""
