"""The subscription core: from a request to an active plate (DOMAIN 2.2-2.5 and 4).

`core` is what subscriptions are and what may become of them (pure), `store` their SQL, `office`
what is done to one in a transaction: its permits go into the feed in that same transaction, through
the function that plate updates of other systems go through. `letters`, `contract` and `post` write
to holders, `payments` and `cashier` charge, `attachments` keeps files, `clerk` does what is due.
"""
