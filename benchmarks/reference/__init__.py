"""The reference job: its input, its two contestants, and the referee that decides it anew."""
