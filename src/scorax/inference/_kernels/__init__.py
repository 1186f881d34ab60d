"""Kernels: Markov chains' transitions behind one interface."""

from scorax.inference._kernels._hamiltonian import HMC, NUTS
from scorax.inference._kernels._kernel import AbstractKernel, Frame, Point, Target

__all__ = ["HMC", "NUTS", "AbstractKernel", "Frame", "Point", "Target"]
