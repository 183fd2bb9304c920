"""Byte ranges in memory, local files and remote files, and files that appear whole or not at all."""
