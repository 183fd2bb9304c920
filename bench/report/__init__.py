"""The output of a benchmark: tables in the terminal, plots, and one HTML page that needs no other file."""
