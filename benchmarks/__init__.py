"""Figures for the documentation."""
