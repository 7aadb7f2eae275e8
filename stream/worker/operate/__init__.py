"""What an operator sees of a running worker: its summary lines, its health file, its watchdog."""
