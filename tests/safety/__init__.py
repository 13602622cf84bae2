"""The numbered cases of approval and execution, one by one, played against the whole bot through chat."""
