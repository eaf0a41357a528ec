"""Permits: plate updates in, every version kept, checks out (CONTRACT, "Plate updates", "Checks").

`updates` reads what feeders send, `core` says what an update does to a permit, `store` keeps it
and puts it into the feed, `routes` is the HTTP.
"""
