"""What the person who asks for parity has to change."""

from stream.errors import OperatorError


class ParityError(OperatorError):
    """The campaign or the registry does not hold what is compared; the message says what."""
