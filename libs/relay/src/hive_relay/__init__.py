"""One HTTP request as an envelope, to the service that owns it and back as reply frames."""
