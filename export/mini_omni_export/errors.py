"""The one error of this package that a person is meant to read."""


class ExportError(Exception):
    """What is wrong with the input, as a sentence; the command line prints it and exits with 2."""
