"""The attempt journal: local append-only files in which every call to a model stands before it is made.

    <folder>/<holder>/lock            held by the process that writes, for as long as it lives
    <folder>/<holder>/<number>.log    segments, in the order of their numbers

Read `records.py` for what stands in a segment, `writing.py` for how it gets there, `reading.py` for the way back,
`segments.py` for the look-up of an event by its sequence.
"""

from hive_routing.journal.segments import Living
from hive_routing.journal.syncing import Sync
from hive_routing.journal.writing import Journal

__all__ = ["Journal", "Living", "Sync"]
