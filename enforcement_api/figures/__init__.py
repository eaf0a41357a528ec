"""Figures: how much of what there was, counted as it happens and told by period.

What is counted are infractions, checks, visits of patrols to zones and lots, and how long changes
were on their way to handhelds. Whoever records one of these counts it in the same transaction
(`counting.py`); `store.py` tells a period of it; `exports.py` has the same as rows. A figure of
three years costs no more than the days that it has, however much happened on each.
"""
