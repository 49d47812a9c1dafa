"""How we speak to a forge: one protocol, the local forge now, GitHub later."""
