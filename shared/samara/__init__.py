"""Samara: an MLOps control loop made of stateless functions, with one bucket as its only state."""

__version__ = "0.1.0"
