"""Local models: which exist, what fits, how they are fetched, hosted and asked."""
