"""Devices: handhelds that may hold a copy of a site's index.

A supervisor makes a device and reads out its code; the handheld trades the code for a token, tells
how it is doing at each sync, and is revoked when it is lost.
"""
