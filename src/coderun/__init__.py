"""coderun: a team of coding agents over the tasks of a repository."""

__version__ = "0.1.0"
