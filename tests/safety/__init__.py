"""SAFETY.md of the design, case by case, played against the whole bot through chat."""
