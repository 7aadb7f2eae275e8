"""What networks are made of: trunks, crosses of features, numbers in pieces."""
