"""Quantizers: a module ``<name>.py`` here is what ``Quantize("<name>")`` runs. There are two kinds.

After training: the module defines ``choose_range(histogram, options)``, the range of an activation.

Trained along with the network: it defines ``Weights`` and ``Inputs``, see nnrules.compress.fake, both made from
(weight or sample of inputs, bits, options); ``WEIGHT_BITS`` and ``ACTIVATION_BITS``, the widths it has;
``SIGNED_INPUTS``, whether inputs below zero can be quantized; and, where widths are to go down step by step,
``PROGRESSIVE``, the first one.
"""
