"""Tests of the house itself: its rooms, its parcel, its papers."""
