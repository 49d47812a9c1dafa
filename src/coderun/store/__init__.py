"""Where objects are kept: one protocol, SQLite now, the Kubernetes API later."""
