"""Owns all money: wallets, budgets, leases, the ledger, prices and recharges."""
