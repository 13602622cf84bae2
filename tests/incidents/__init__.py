"""Tests of incidents/."""
