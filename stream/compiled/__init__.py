"""What numba loops of every package are written with: borrowed arrays, and bytes copied at once."""
