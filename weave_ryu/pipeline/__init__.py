"""The OpenFlow pipeline as data: one definition for installer, docs, introspection and tests."""
