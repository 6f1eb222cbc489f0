"""Forgetting: an elder, or one memory, goes from every place, and a receipt says so.

`request.py` says what goes, `place.py` what a place is; `places/` has them, and `all_places.py`
their order. `erase.py` goes through them with a journal, and `receipts.py` keeps the chain.
"""
