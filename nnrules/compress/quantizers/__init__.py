"""Quantizers: a module ``<name>.py`` here is what ``Quantize("<name>")`` runs. Each says with constants, which are read
without running it (nnrules.catalog.quantizers), ``WEIGHT_BITS`` and ``ACTIVATION_BITS``, the widths it has, and
``OPTIONS``, the options that only some methods heed. There are two kinds.

After training: the module defines ``choose_range(histogram, options, levels)``, the range of an activation.

Trained along with the network: it defines ``Weights`` and ``Inputs``, see nnrules.compress.fake, both made from
(weight or sample of inputs, bits, options), and, where widths are to go down step by step, ``PROGRESSIVE``, the first
one.
"""
