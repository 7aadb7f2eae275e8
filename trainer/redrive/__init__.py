"""Dead letters, sent back to their event topics once the campaign file can read them."""
