"""Mixed traffic against a cluster that is broken again and again, and what has to be true of it afterwards.

`python -m hive_testing.chaos --seconds 300 --seed 7`; what is broken, and when, follows from the seed alone.
"""
