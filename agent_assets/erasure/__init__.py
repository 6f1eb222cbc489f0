"""Forgetting: an elder, or one memory, goes from every place, and a receipt says so.

`request.py` says what goes, `place.py` what a place is, `places.py` lists them all, one module
each; `erase.py` goes through the list with a journal, and `receipts.py` keeps the chain.
"""
