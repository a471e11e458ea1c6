"""Trainers: from traces and pull requests to the models the engine loads."""
