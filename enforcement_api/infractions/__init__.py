"""What patrollers recorded: kept whole, flagged rather than refused, judged again (DOMAIN 5).

`core` is an infraction's shape and what is flagged about it; `store` keeps it and judges it again
whenever a permit of its plate changes; `heeding` is what its patroller tells of it later; `photos`
are its evidence, kept unaltered; `exports` are the log as CSV and GeoJSON; `routes` is all of it
over HTTP.
"""
