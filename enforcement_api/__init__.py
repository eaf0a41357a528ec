"""The service: it takes plate updates in, answers checks, feeds handhelds, keeps infractions."""
