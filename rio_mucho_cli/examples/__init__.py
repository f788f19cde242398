"""Example data: a scene, an elevation model, fields, a series of scenes, and functions.

python -m rio_mucho_cli.examples DIR
"""
