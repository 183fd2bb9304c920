"""What a benchmark is written as: tables, plots, and one page that needs no other file."""
