"""The cart: items with a price in cents."""


class Cart:
    """Items in the order they were added."""

    def __init__(self):
        self.items = []

    def add(self, name, cents):
        """Add an item; its price is at least 0."""
        if cents < 0:
            raise ValueError(f"price of {name} is negative: {cents}")
        self.items.append((name, cents))

    def total(self):
        """Sum of all prices."""
        return sum(cents for _, cents in self.items)
