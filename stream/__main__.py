"""`python -m stream`, the same as the command `opportune`."""

from stream.cli import main

main()
