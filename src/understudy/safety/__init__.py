"""What may come in, go out, be stored and be trained on.

Owns text hygiene (`text`), the filters at the door and at the mouth (`moderation`), the envelope
around viewers' words in prompts (`untrusted`), rate limits (`limits`) and redaction (`pii`). Does
not own where these are applied: the engine, the server and the export do that.
"""
