"""What numba loops of every package are made of: borrowed arrays, bytes read and copied, keyed hashes."""
