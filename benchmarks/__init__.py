"""How fast, how late and how soon back: `python -m benchmarks --help`, from the root of the repository.

Nothing of this is in the wheel. Every figure comes from the real worker as a process of its own,
against a real Kafka, and every decision behind a rate is recomputed independently before the rate is
printed.
"""
