"""What learned policies are worth where the truth is known, and on a real experiment."""
