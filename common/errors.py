"""The one exception that a person's input may raise."""


class InputError(ValueError):
    """What a person gave cannot be used.

    The message is one line: what was found, what was expected, what to do next, naming the
    flag or the file. Scripts print it and end with exit code 2 (see `common.cli.run_script`);
    any other exception is a fault of ours and keeps its traceback.
    """
