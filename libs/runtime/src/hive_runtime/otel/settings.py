"""Those of the standard variables that decide whether and how traces leave; the SDK reads the others itself."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class TracingSettings(BaseSettings):
    """`OTEL_…` variables; an empty one counts as not set. bsp_…: of the queue of spans that wait; milliseconds."""

    model_config = SettingsConfigDict(
        env_prefix="OTEL_", extra="ignore", env_ignore_empty=True, hide_input_in_errors=True
    )

    sdk_disabled: bool = False
    traces_exporter: str = ""
    exporter_otlp_endpoint: str = ""
    exporter_otlp_traces_endpoint: str = ""
    exporter_otlp_protocol: str = ""
    exporter_otlp_traces_protocol: str = ""
    bsp_max_queue_size: int = Field(2048, ge=1)
    bsp_max_export_batch_size: int = Field(512, ge=1)
    bsp_schedule_delay: int = Field(5000, ge=1)

    @property
    def is_asked_for(self) -> bool:
        if self.sdk_disabled or self.traces_exporter == "none":
            return False
        return bool(self.traces_exporter or self.exporter_otlp_traces_endpoint or self.exporter_otlp_endpoint)

    @property
    def problem(self) -> str:
        """Why what is asked for cannot be done; empty where it can."""
        if self.traces_exporter not in ("", "otlp"):
            return f"OTEL_TRACES_EXPORTER={self.traces_exporter}: `otlp` and `none` are known here"
        protocol = self.exporter_otlp_traces_protocol or self.exporter_otlp_protocol
        if protocol not in ("", "http/protobuf"):
            return (
                f"the OTLP protocol {protocol} is not known here: use `http/protobuf`, as a rule on port 4318"
            )
        return ""
