"""The dialects in which models are asked, each in a package of its own, and the form between them (`form.py`)."""
