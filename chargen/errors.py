"""The one error a user is meant to read."""


class ChargenError(ValueError):
    """Something could not be done: one sentence that says what, where, and what to do about it."""


class ReportedError(ChargenError):
    """What the first of several processes could not do, raised in the others too, which need not say it again."""
