"""Seeded bugs that the simulator and the model must catch: a test of the tests."""
