"""Muon for a GPU: all matrices of one shape are stepped together."""

import torch
from torch import Tensor

COEFFICIENTS = (3.4445, -4.775, 2.0315)  # of the Newton-Schulz iteration, as torch.optim.Muon's
ITERATIONS = 5


class BatchedMuon:
    """torch.optim.Muon with adjust_lr_fn="match_rms_adamw", in a tenth of its kernel launches."""

    def __init__(self, matrices: list[Tensor], decay: float, momentum: float = 0.95) -> None:
        self.decay, self.momentum = decay, momentum
        shapes: dict[torch.Size, list[Tensor]] = {}
        for matrix in matrices:
            shapes.setdefault(matrix.shape, []).append(matrix)
        self.groups = [(group, torch.zeros_like(torch.stack(group))) for group in shapes.values()]

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """One step of every matrix by its gradient."""
        for group, momentum in self.groups:
            gradient = torch.stack([p.grad for p in group])
            momentum.lerp_(gradient, 1 - self.momentum)
            update = orthogonal(gradient.lerp(momentum, self.momentum))
            scale = 0.2 * max(update.shape[1:]) ** 0.5
            torch._foreach_mul_(group, 1 - rate * self.decay)
            updates = list(update.to(group[0].dtype).unbind())
            torch._foreach_add_(group, updates, alpha=-rate * scale)


def orthogonal(x: Tensor) -> Tensor:
    """Matrices [n, rows, columns] with all singular values brought near 1."""
    a, b, c = COEFFICIENTS
    x = x.bfloat16()
    tall = x.shape[1] > x.shape[2]
    x = x.mT if tall else x
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for _ in range(ITERATIONS):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return x.mT if tall else x
