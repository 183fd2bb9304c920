"""Where bytes lie: memory, local files, remote addresses, and files that appear whole or not at all."""
