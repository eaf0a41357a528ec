"""What the service and a handheld share: the rule, the index, and the protocol between them.

The protocol in one page (CONTRACT, "Sync"):

* The service keeps, for every site, a **feed**: each entity (site, zone, lot, code, permit,
  hotlist entry, notice) appears once, at the sequence number of its latest change. Sequence
  order is commit order and has no gaps.
* A **replica** asks for the changes after its **cursor**. All pages of one catch-up, and the
  cursor they lead to, are applied in one transaction; in the middle of a catch-up it would
  equal no state that ever was.
* The last page of a catch-up carries a **digest**: the number of rows and the sum of their
  hashes modulo 2^64. Both sides keep theirs incrementally; a replica that differs keeps nothing
  of that catch-up, fetches a snapshot, and tells the service that it happened.
* A **snapshot** is the service's own index file, compacted, gzipped and named by its SHA-256.
  A replica that is new, far behind, of another **epoch** (the service was restored from a
  backup) or damaged installs one under a new name and flips a pointer, while the old file still
  answers. A download that is cut goes on where it stopped.
* Every verdict is `judge()` of the permits in the index (`sync.validity`), so that the service
  and a handheld that know the same say the same.
* What a patroller records goes the other way through the **outbox**: each item has an id made on
  the device, is sent with PUT until the service acknowledges it durably, and may arrive twice.
  What was sent is kept for 30 days: when the epoch is another one, it is sent again, for the
  restored record may lack it.
* The service's time is the time. Each answer that was not waited for measures the device's clocks
  (`sync.clock`).

When any of this is done is decided in `sync.engine`, which does nothing itself: it yields what it
wants done, and `sync.edges` does it with the real network, disk and clock.

Nothing here imports FastAPI, Kivy, SQLAlchemy or pydantic.
"""
