"""The append-only log: who did what to whom, each entry chained to the one before by its hash.

What changes an infraction, a key, a device or an account appends here in the same transaction.
There is one chain for each site and one for the installation, so that no lock is wider than a
site's. `core` is the chain (pure), `store` its SQL.
"""
