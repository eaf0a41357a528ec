"""Staff: who works with the service; for now the keys that programs and people hold.

`keys` keeps what the command line makes; a key is stored hashed and shown once.
"""
