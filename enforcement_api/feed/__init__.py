"""The change feed: every replicated record once, at its latest sequence number (DESIGN, "Feed").

`store` takes sequence numbers, appends and reads pages; `follower` fills the service's own index
files from it; `snapshots` packs those for handhelds; `routes` is the sync protocol.
"""
