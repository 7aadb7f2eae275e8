"""Event bytes in, decision bytes out. Read pipeline.py first; worker/ is the shell around it."""
