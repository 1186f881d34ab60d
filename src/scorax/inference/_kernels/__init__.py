"""Kernels: Markov chains' transitions behind one interface."""

from scorax.inference._kernels._hamiltonian import HMC, NUTS
from scorax.inference._kernels._kernel import AbstractKernel, Frame, Point, Target
from scorax.inference._kernels._laplace_metropolis import LaplaceMetropolis

__all__ = ["HMC", "NUTS", "AbstractKernel", "Frame", "LaplaceMetropolis", "Point", "Target"]
