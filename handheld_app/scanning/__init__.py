"""From a picture to a plate that a patroller confirms; docs/scanning.md tells how and how well.

`frames` gives pictures, a `PlateReader` (`reading`) reads candidates from one, `matching` compares
them with the index. Nothing here decides that a plate is valid, or that it is not: a person
confirms the text.
"""
