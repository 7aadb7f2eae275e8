"""What can be wrong with a model or with the registry that keeps it."""

from __future__ import annotations

import msgspec

NO_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoding the JSON of others raises; the last one where it is nested without end."""


class BundleError(Exception):
    """A bundle is refused: damaged, changed, or made for something else.

    The message names the file, what was expected and what came. Whoever publishes models acts;
    a worker keeps the model it has.
    """


class RegistryError(Exception):
    """The registry cannot do what was asked: an unknown version, nothing to roll back to.

    Whoever gave the command acts; the registry is unchanged.
    """
