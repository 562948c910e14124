"""Races over seeds: how arms stand after a batch, and which of them go on."""

PUBLIC_MODULES = ("decide",)
