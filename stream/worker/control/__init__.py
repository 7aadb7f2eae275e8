"""The control topic: what operators switch while workers run, read from its beginning, then followed."""
