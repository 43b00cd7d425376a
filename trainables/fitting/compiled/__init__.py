"""Whole epochs in one compiled program, shared by all models of the same structure.

Bottom up: ``keras_internals``, ``tensors``, ``number_inputs`` (numbers that models of one program
may differ in), ``sharing`` (which models those are), ``eligibility`` (what can be compiled),
``loops``, ``updates`` (by optimizers), ``arguments`` (of a program), ``scoring``, ``serialized``,
``program``, ``program_files`` (on this machine), ``kept_programs`` (in a worker), ``fit``.
"""
