"""The handheld: what a patroller carries from car to car, with or without a network.

`patrol` holds what a patroller can do and knows no screen; `wording` says its answers in French
and English; `screens` show them; `app` puts the pieces together and `__main__` starts it.
"""
