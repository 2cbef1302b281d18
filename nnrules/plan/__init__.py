"""Which kernel runs each layer, and where each tensor lies in the one arena."""
