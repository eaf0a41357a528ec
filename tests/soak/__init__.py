"""A whole shift through the real app, by touch and key, with kill -9 in between.

    python -m tests.soak --checks 2000 --infractions 200 --kills 50

A real service, and the real window (headless) in a process of its own that is killed again and
again: in the middle of a plate, of an infraction, of a photo, of a sync. At the end everything that
the patroller was told is recorded is at the service, once, whole; what was being recorded when the
process died came back; and the process that lived longest needed no more memory at its end.
"""
