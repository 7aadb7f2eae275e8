"""What commands share to read: which history, which registry, and where what is made may go."""
