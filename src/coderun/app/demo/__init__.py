"""The demo: a small repository, three tasks, scripted agents that really work, and a person who pushes at a bad moment."""
