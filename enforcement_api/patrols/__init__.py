"""Patrols: what a handheld is told besides the feed, in one document, the briefing.

`core` is what a supervisor may set for the patrols of a site, and what they tell them; `store` is
its SQL; `routes` is all of it over HTTP. What patrols tell comes as events (devices/events.py).
"""
