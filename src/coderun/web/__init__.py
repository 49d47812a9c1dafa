"""What the outside sees and posts: the door that webhooks come in by. Decides nothing; hands on to the store."""
