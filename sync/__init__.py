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
  of that catch-up and fetches a snapshot.
* A **snapshot** is the service's own index file, compacted, gzipped and named by its SHA-256.
  A replica that is new, far behind, of another **epoch** (the service was restored from a
  backup) or damaged installs one under a new name and flips a pointer, while the old file still
  answers.
* Every verdict is `judge()` of the permits in the index (`sync.validity`), so that the service
  and a handheld that know the same say the same.
* What a patroller records goes the other way through the **outbox**: each item has an id made on
  the device, is sent with PUT until the service acknowledges it durably, and may arrive twice.

Nothing here imports FastAPI, Kivy, SQLAlchemy or pydantic.
"""
