"""`make demo-github`: the demo on a fake GitHub, with all the trouble that a real one gives. `python -m tests.demo_github`.

`world` makes the place (the fake, an App for each agent, the repository, the controller as a process of its own), `trouble`
makes the trouble, `evidence` says afterwards what of all that was promised is not so, `__main__` shows it.
"""
