"""Outputs: profiles, writers, targets, mosaics and the journal."""
