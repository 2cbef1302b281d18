"""Post-training quantizers: each module chooses an activation's range from its histogram.

A module ``<name>.py`` here is what ``Quantize("<name>")`` runs; it defines ``choose_range(histogram, options)``.
"""
