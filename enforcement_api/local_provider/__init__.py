"""A payment provider for development, tests and the demo; never for real money.

It stands where Moneris Checkout stands in real life, as a process of its own with a file of its
own: a hosted page on which a person types a card number, and an interface for the service, which
gets a token. It takes test numbers alone, and keeps none of them.
"""
