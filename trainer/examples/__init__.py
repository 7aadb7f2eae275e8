"""Examples for training: labels, features and weights, in three periods that never look ahead."""
