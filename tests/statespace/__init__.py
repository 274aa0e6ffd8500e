"""Exhaustive search through small worlds that run the product's own code."""
