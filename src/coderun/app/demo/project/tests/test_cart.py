import unittest

from shop.cart import Cart


class CartTest(unittest.TestCase):
    def test_total_is_the_sum_of_all_prices(self):
        cart = Cart()
        cart.add("tea", 350)
        cart.add("cup", 900)
        self.assertEqual(cart.total(), 1250)

    def test_negative_prices_are_refused(self):
        with self.assertRaises(ValueError):
            Cart().add("refund", -1)


if __name__ == "__main__":
    unittest.main()
