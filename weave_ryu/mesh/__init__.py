"""Weave's mesh protocol, sans-IO: no socket, no clock, no thread, no randomness of its own."""
