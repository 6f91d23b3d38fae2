"""Who asks, as the edge authenticated it: a plain record, and a message where it leaves the process."""

from __future__ import annotations

import msgspec

from modelhive.common.v1 import common_pb2 as pb


class Principal(msgspec.Struct, frozen=True):
    """models: the names that the caller may ask; None: all."""

    tenant_id: str = ""
    key_id: str = ""
    models: frozenset[str] | None = None

    @classmethod
    def of(cls, told: pb.Principal) -> Principal:
        models = frozenset(told.models.ids) if told.HasField("models") else None
        return cls(told.tenant_id, told.key_id, models)

    def message(self) -> pb.Principal:
        models = None if self.models is None else pb.ModelList(ids=sorted(self.models))
        return pb.Principal(tenant_id=self.tenant_id, key_id=self.key_id, models=models)
