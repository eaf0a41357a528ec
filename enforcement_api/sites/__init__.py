"""Sites: an operator's car parks, with zones, lots and codes, its patrollers, and its hotlist.

A site is written whole: what a PUT leaves out is gone. Whatever handhelds need of it goes into the
feed in the same transaction; patrollers stay here, since a PIN is checked by the service.
"""
