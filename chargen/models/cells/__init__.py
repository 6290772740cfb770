"""Recurrent cells: the interface, the cells themselves, and their registry."""
