"""Notices at a printer: `printers.py` sends what `sync/paper` composed and drew.

Printing takes an infraction as it was recorded and changes nothing in it, so that a print that
failed is simply made again, with the same number. Imports no Kivy; all of it may run on a worker
thread, and sending must.
"""
