"""Stands in for boto3 in programs that tests start: see `lean_programs` in conftest.py."""

raise ImportError("programs that tests start have no boto3")
