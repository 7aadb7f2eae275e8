"""What operators set while workers run, and decisions obey from then on: pauses."""
