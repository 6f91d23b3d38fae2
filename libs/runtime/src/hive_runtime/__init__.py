"""What every process needs: errors, clock, settings, telemetry, health, blobs, sealing."""
