# SPDX-License-Identifier: Apache-2.0
"""Columns of the integer tables on which the compiled engines work.

One row per unit and one per port, so that what one event touches lies side by side in memory. A
unit's output has one reading port per branch of its fork; a unit without readers is a sink.
"""

# ---- units
STEPS = 0  # steps of a period
EMIT_AT = 1  # place of the period's flags in the emit table
CYCLES = 2  # cycles of a step
DELAY = 3  # cycles from a step's start to its offer
QUEUE = 4  # credits
PORT_LO = 5  # first row of its ports
PORT_HI = 6  # row after the last
READ_LO = 7  # first place of its readers in the reader list
READ_HI = 8
LEFT = 9  # steps left to do
PHASE = 10  # step of the period that comes next
NEXT = 11  # earliest cycle of that step by the step before
MADE = 12  # beats emitted
TAKEN = 13  # beats taken by every reader
TOOK = 14  # readers that have taken beat TAKEN already
LATEST = 15  # latest of their cycles
LAST = 16  # cycle of beat TAKEN - 1, the last of its readers
RING_AT = 17  # ring of offers, then of takings: place and size
RING_SIZE = 18
PUT = 19  # slot of beat MADE
GET = 20  # slot of beat TAKEN
PACE = 21  # a source: cycles of a frame's beats (0: as fast as they are taken)
FRAME = 22  # beats of a frame that leave
MARK = 23  # beat whose taking ends the frame under way
FRAMES = 24  # frames ended
HELD = 25  # of a timed FIFO: first beat still counted as held
MOST = 26  # of a timed FIFO: most beats held at once
PASSIVE = 27  # 1: a timed FIFO, which moves beats without steps
UNIT_COLUMNS = 28

# ---- ports
UNIT = 0  # unit that reads
SOURCE = 1  # unit that is read
CAPACITY = 2  # 0: direct
BEATS = 3  # beats of a period
NEED_AT = 4  # place of the period in the count table
FREE_AT = 5
BASE = 6  # beats of the periods before this one
ARRIVED = 7  # beats taken
LIMIT = 8  # beats for which places have been free so far
TIME_AT = 9  # ring of arrival cycles, size a power of two
TIME_MASK = 10
SPACE_AT = 11  # ring of the cycles from which places are free
SPACE_MASK = 12
FIRST = 13  # cycle of the first arrival; -1 before
EDGE = 14  # edge whose FIFO stands before the port; -1: none
PORT_COLUMNS = 15

# ---- reasons of waiting
FOR_DATA = 0
FOR_SPACE = 1
