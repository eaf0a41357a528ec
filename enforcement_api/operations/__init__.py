"""Running an installation: backups, restores, who uses the record now, and metrics.

`core` says how far a restore moves number series (pure), `copying` takes rows from one record to
another, `backup` and `restore` are the two commands, `using` keeps a restore and a service apart,
`metrics` is what a monitoring system reads.
"""
