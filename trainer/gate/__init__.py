"""Whether a candidate is good enough to be promoted: checks, their evidence, the verdict."""
