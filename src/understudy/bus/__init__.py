"""How events reach their readers, in one process.

Owns delivery: `Bus` hands each event to every subscriber through a bounded queue of its own, and
`EventLog` is the numbered log that live feeds and replies are read from. Does not own what the
events mean.
"""

from understudy.bus.event_log import EventLog, Gap
from understudy.bus.in_process import Bus, Subscription

__all__ = ["Bus", "EventLog", "Gap", "Subscription"]
