"""What a policy would have earned, from decisions that chance had part in, and how sure that is."""
