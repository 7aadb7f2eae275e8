"""Event bytes in, decision bytes out: read pipeline.py first, worker/ is the shell around it."""
