"""What analytics reads from its environment."""

from __future__ import annotations

from pydantic import Field

from hive_runtime.settings import Settings


class AnalyticsSettings(Settings):
    """Where rows are kept, and how much their keeper may take."""

    olap_url: str = Field(
        "",
        description="Analytical store: `chdb://<folder>` or `http(s)://user:password@host:port/database`."
        " Empty: the data folder.",
    )
    analytics_memory_mb: int = Field(
        1024, ge=256, description="Memory of the analytical store that runs here, in MiB."
    )
    analytics_threads: int = Field(2, ge=1, le=64, description="Threads of one question, at most.")
    analytics_batch_rows: int = Field(5000, ge=1, le=100_000, description="Rows that are written together.")
    analytics_batch_seconds: float = Field(3.0, gt=0, le=60, description="How long rows may wait for others.")
    analytics_rollup_seconds: float = Field(
        15.0,
        gt=0,
        description="Least pause between two rounds of rollups; longer where a round takes long.",
    )
    analytics_question_seconds: float = Field(30.0, gt=0, description="How long a question may take.")
