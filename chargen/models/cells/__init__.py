"""Recurrent cells: the contract, and the families that keep it."""
