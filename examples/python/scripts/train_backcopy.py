#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Trains a two-layer transformer in PyTorch, attention and its gradients by heed, on bigram-backcopy.

    python3 train_backcopy.py --normalizer softpick --steps 300

The task (Guo et al. 2024, arXiv 2410.13835): letters follow each other by a fixed random Markov chain; a digit makes
the letter before it come again. Who knows the chain but copies nothing stays above the bound,
who does both comes down to it.
"""
import argparse
import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional

import heed
import heed.torch

LETTERS, TRIGGERS, TRIGGER_SHARE = 52, 4, 0.2


class Task:
    def __init__(self) -> None:
        random = np.random.default_rng(0xB16)
        weights = np.exp(2 * random.standard_normal((LETTERS, LETTERS)))  # a few letters are likely, most are rare
        self.follows = weights / weights.sum(1, keepdims=True)
        self.random = random

    def batch(self, size: int, context: int) -> torch.Tensor:
        """[size, context + 1] tokens: letters, then triggers."""
        tokens = np.zeros((size, context + 1), np.int64)
        letter = self.random.integers(0, LETTERS, size)
        after = np.zeros(size, bool)
        tokens[:, 0] = letter
        bounds = self.follows.cumsum(1)
        for i in range(1, context + 1):
            triggers = ~after & (self.random.random(size) < TRIGGER_SHARE)
            drawn = (bounds[letter] < self.random.random((size, 1))).sum(1).clip(max=LETTERS - 1)
            letter = np.where(after | triggers, letter, drawn)
            tokens[:, i] = np.where(triggers, LETTERS + self.random.integers(0, TRIGGERS, size), letter)
            after = triggers
        return torch.from_numpy(tokens)

    def bound(self) -> float:
        """Nats a token of whoever knows the chain and copies: what a step of it says, over the tokens that it takes."""
        often = np.full(LETTERS, 1 / LETTERS)
        for _ in range(500):
            often = often @ self.follows
        letters = -(often[:, None] * self.follows * np.log(self.follows)).sum()
        share = TRIGGER_SHARE
        step = -share * np.log(share / TRIGGERS) - (1 - share) * np.log(1 - share) + (1 - share) * letters
        return step / (1 + share)


class Block(nn.Module):
    def __init__(self, dim: int, heads: int, normalizer: str) -> None:
        super().__init__()
        self.heads = heads
        self.before_attention, self.before_mlp = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.qkv, self.out = nn.Linear(dim, 3 * dim, bias=False), nn.Linear(dim, dim, bias=False)
        self.attend = heed.torch.Attention(normalizer=normalizer, causal="bottom-right")
        self.mlp = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, tokens, dim = x.shape
        # three views of one tensor [batch, tokens, 3, heads, channels]: heed reads them in place
        q, k, v = self.qkv(self.before_attention(x)).view(batch, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        x = x + self.out(self.attend(q, k, v).transpose(1, 2).reshape(batch, tokens, dim))
        return x + self.mlp(self.before_mlp(x))


class Model(nn.Module):
    def __init__(self, dim: int, heads: int, context: int, normalizer: str) -> None:
        super().__init__()
        self.tokens, self.positions = nn.Embedding(LETTERS + TRIGGERS, dim), nn.Embedding(context, dim)
        self.blocks = nn.Sequential(*(Block(dim, heads, normalizer) for _ in range(2)))
        self.norm, self.logits = nn.LayerNorm(dim), nn.Linear(dim, LETTERS + TRIGGERS, bias=False)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.tokens(tokens) + self.positions.weight[:tokens.shape[1]]
        return self.logits(self.norm(self.blocks(x)))


def loss_of(model: Model, tokens: torch.Tensor, reduction: str = "mean") -> torch.Tensor:
    logits = model(tokens[:, :-1]).flatten(0, 1)
    return functional.cross_entropy(logits, tokens[:, 1:].flatten(), reduction=reduction)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--normalizer", choices=("softpick", "softmax"), default="softpick")
    arguments.add_argument("--steps", type=int, default=300)
    arguments.add_argument("--batch", type=int, default=16)
    arguments.add_argument("--context", type=int, default=64)
    arguments.add_argument("--dim", type=int, default=64)
    arguments.add_argument("--heads", type=int, default=4)
    arguments.add_argument("--seed", type=int, default=1)
    given = arguments.parse_args()

    torch.manual_seed(given.seed)
    task = Task()
    model = Model(given.dim, given.heads, given.context, given.normalizer)
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.01)
    parameters = sum(p.numel() for p in model.parameters())
    print(f"{given.normalizer}, 2 layers of {given.heads} heads, {parameters / 1e3:.0f} k parameters; {heed.isa()}")
    print(f"{'step':>6} {'loss':>8}   bound {task.bound():.3f} nats a token")
    began, recent = time.perf_counter(), []
    for step in range(1, given.steps + 1):
        tokens = task.batch(given.batch, given.context)
        loss = loss_of(model, tokens)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        recent.append(float(loss))
        if step % max(given.steps // 10, 1) == 0 or step == given.steps:
            print(f"{step:6} {np.mean(recent):8.3f}   {time.perf_counter() - began:6.1f} s", flush=True)
            recent = []

    with torch.no_grad():  # what copying is worth: the loss behind a trigger, where the next letter is known
        tokens = task.batch(64, given.context)
        losses = loss_of(model, tokens, "none")
        behind = (tokens[:, :-1] >= LETTERS).flatten()
        means = (float(losses[of].mean()) for of in (behind, ~behind))
        print("loss behind a trigger {:.3f}, elsewhere {:.3f}".format(*means))


if __name__ == "__main__":
    main()
