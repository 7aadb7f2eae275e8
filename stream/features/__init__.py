"""The declared features, compiled once: operators, the words of a row, and the loop over events."""
