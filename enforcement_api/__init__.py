"""The service: the record of permits and infractions, and the feed that replicas follow.

Rooms, from the ground up: `settings` and `problems`; `security` (keys and roles); `database` (where
the record lives); `sites`, `devices`, `staff`; `feed` (sequence, changes, snapshots, follower);
`permits` (plate updates in, checks out); `infractions`; `app` and `cli` put them together.
"""
