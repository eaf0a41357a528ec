"""A notice on paper, the same wherever it is made: what stands on it, and how it looks.

`notice.py` composes a sheet, pure; `layout.py` draws it, with Pillow and segno. A handheld prints
it; the service shows supervisors what will be printed.
"""
