"""What a machine cannot carry, and what went wrong on one that should."""


class UnavailableError(Exception):
    """This machine cannot carry the tier; the text is the reason to show."""


class BrokenError(Exception):
    """A part of the cluster did not do what it should; the text ends in what it said."""
