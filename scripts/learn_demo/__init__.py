"""The learning loop shown from end to end on one machine: `make learn-demo`.

Owns the show: a generated channel with a hidden taste, its nights of learning, an attack, and the
figures. Does not own learning itself, which is Understudy's own (`understudy.learning`).

- `world` is the channel: games, questions, replies, and what its audience likes.
- `streams` plays a week of it through the bus into the database.
- `base` builds the model there was before.
- `nights` learns, `tryout` tries versions out and takes one back.
- `figures` holds what came of it against the goals; `report` and `chart` show it.
"""
