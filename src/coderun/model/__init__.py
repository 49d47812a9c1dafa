"""The words of the system: objects, names, roster, tasks, errors.

Everything else imports from here; nothing here does I/O, reads the clock or the environment.
"""
