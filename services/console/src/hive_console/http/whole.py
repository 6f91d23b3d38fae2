"""The admin API as a whole. It is imported for the first request: with it come FastAPI and every form that it reads."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.types import ASGIApp

from hive_console.budgets import Budgets
from hive_console.guards import Policies
from hive_console.http.app import admin_app
from hive_console.http.cache import cache_routes
from hive_console.http.callers import key_routes, tenant_routes
from hive_console.http.catalogue import model_routes, provider_routes
from hive_console.http.doctor import doctor_routes
from hive_console.http.guards import guard_routes, policy_routes
from hive_console.http.ledger import ledger_routes, price_routes, rerate_routes
from hive_console.http.usage import usage_routes
from hive_console.http.wallets import budget_routes, wallet_routes
from hive_console.keys import Keys
from hive_console.models import Models
from hive_console.providers import Providers
from hive_console.tenants import Tenants
from hive_rpc import Channel
from hive_runtime.clock import Clock


@dataclass(frozen=True, slots=True)
class Resources:
    """What the API reads and changes; the channels lead to the services that keep the rest of it."""

    tenants: Tenants
    keys: Keys
    budgets: Budgets
    providers: Providers
    models: Models
    policies: Policies
    billing: Channel
    analytics: Channel
    guardrails: Channel
    routing: Channel
    clock: Clock


def whole_app(of: Resources, token: str) -> ASGIApp:
    """The application; it sees whole paths."""
    routers = [
        tenant_routes(of.tenants),
        key_routes(of.keys, of.budgets),
        provider_routes(of.providers),
        model_routes(of.models),
        wallet_routes(of.tenants, of.billing),
        budget_routes(of.tenants, of.billing),
        ledger_routes(of.billing),
        price_routes(of.billing),
        rerate_routes(of.billing, of.clock),
        usage_routes(of.analytics, of.clock),
        doctor_routes(of.billing, of.analytics),
        policy_routes(of.policies),
        guard_routes(of.policies, of.guardrails),
        cache_routes(of.tenants, of.routing),
    ]
    return admin_app(routers, token)
