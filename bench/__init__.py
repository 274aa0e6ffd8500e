"""Benchmarks: what this project costs and reaches, beside what one would use instead.

``python -m bench`` runs them; the pages in ``docs/benchmarks`` are made from what they found.
"""
