"""The one exception that means: what you gave cannot be used, and here is what to do."""


class InputError(ValueError):
    """Bad input from a user: one sentence that names what was expected, what came and what to do.

    The command line prints the sentence and exits with code 2; every other exception is a defect of ours.
    """
