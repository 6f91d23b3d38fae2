"""The local models: a small chat model and an embedding model that need no account and no network.

`provider.LocalProvider` is the door. What the models can and cannot do is data, in `limits`.

    provider ── wire (the request) ── tools, template (what the model gets) ── dialect (what the caller gets)
        └── models (a waiting line per model) ── process ══ frames ══ worker ── text | vectors (native code)

Right of the double line is a process of its own per model: its threads, its memory and its crashes are not
the gateway's.
"""
