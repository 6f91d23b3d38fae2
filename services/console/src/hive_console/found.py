"""Providers and models that nobody declared: built in, behind a variable that is set, or in an Ollama."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pydantic import ValidationError

from hive_console.catalogue import (
    EMBEDDING_NAMES,
    LOCAL_MODELS,
    LOCAL_PROVIDER,
    OLLAMA_PROVIDER,
    PROVIDERS,
    KnownModel,
    KnownProvider,
)
from hive_console.declarations import MODEL_ID, DeploymentForm, ModelDeclaration, ProviderDeclaration


@dataclass(frozen=True, slots=True)
class Declared:
    """What one source gives; `warnings` are for the operator."""

    providers: tuple[ProviderDeclaration, ...] = ()
    models: tuple[ModelDeclaration, ...] = ()
    warnings: tuple[str, ...] = ()


def built_in() -> Declared:
    """The models that run inside the gateway."""
    provider = ProviderDeclaration(name=LOCAL_PROVIDER, kind="local")
    return Declared((provider,), tuple(_model(LOCAL_PROVIDER, model) for model in LOCAL_MODELS))


def from_environment(environment: Mapping[str, str]) -> Declared:
    """The known providers whose variable is set, with their common models."""
    providers: list[ProviderDeclaration] = []
    models: list[ModelDeclaration] = []
    warnings: list[str] = []
    for known in PROVIDERS:
        if not (api_key := environment.get(known.variable, "").strip()):
            continue
        try:
            providers.append(_provider(known, api_key))
        except ValidationError:
            warnings.append(f"the environment variable {known.variable} holds no key that could be sent")
            continue
        models += [_model(known.name, model, bare=known.bare) for model in known.models]
    return Declared(tuple(providers), tuple(models), tuple(warnings))


def from_ollama(base_url: str, names: Iterable[str]) -> Declared:
    """The models that an Ollama says it has."""
    provider = ProviderDeclaration(name=OLLAMA_PROVIDER, kind="ollama", base_url=base_url, free=True)
    models = [KnownModel(name, mode=_mode(name)) for name in sorted(set(names)) if MODEL_ID.fullmatch(name)]
    return Declared((provider,), tuple(_model(OLLAMA_PROVIDER, model) for model in models))


def _provider(known: KnownProvider, api_key: str) -> ProviderDeclaration:
    fields = {"name": known.name, "kind": known.name, "api_key": api_key}
    if known.output_bound_field is not None:
        fields["output_bound_field"] = known.output_bound_field
    return ProviderDeclaration.model_validate(fields)


def _model(provider: str, known: KnownModel, *, bare: bool = False) -> ModelDeclaration:
    return ModelDeclaration.model_validate(
        {
            "id": known.name if bare else f"{provider}/{known.name}",
            "deployments": [DeploymentForm(provider=provider, model=known.name)],
            "mode": known.mode,
            "context_window": known.context_window,
        }
    )


def _mode(name: str) -> str:
    return "embedding" if any(part in name.lower() for part in EMBEDDING_NAMES) else "chat"
