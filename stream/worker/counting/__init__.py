"""What a worker counts while it works, and the words of consent that nobody knows: what its lines tell."""
