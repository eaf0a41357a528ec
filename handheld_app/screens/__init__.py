"""What a patroller sees. Screens are dumb: they show what `patrol` returns (STYLE 10)."""
