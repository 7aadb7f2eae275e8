"""Where the processor plugs into Faust: the app, its transport, its store, what it may commit."""
