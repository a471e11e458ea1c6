"""Dev-Search: stages, budget, judges and the trace. The loop itself is `dev_search.py`."""
