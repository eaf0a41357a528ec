"""Notices on paper: what stands on a sheet, the sheet as a picture, the picture at a printer.

`notice.py` composes, `layout.py` draws, `printers.py` sends. Printing takes an infraction as it
was recorded and changes nothing in it, so that a print that failed is simply made again, with the
same number. Imports no Kivy; all of it may run on a worker thread, and sending must.
"""
