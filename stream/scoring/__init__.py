"""The Keras network at a fixed shape, and following the champion of a registry."""
