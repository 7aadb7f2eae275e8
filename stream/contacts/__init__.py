"""The contacts that each customer has had, and the rules about the next: caps, cool-downs, quiet hours."""
