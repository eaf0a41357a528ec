"""Staff: who works with the service.

`keys` keeps what programs show; a key is stored hashed and shown once. `core` is what an account
and a session are (pure), `store` their SQL, `entrance` lets people in at the console.
"""
