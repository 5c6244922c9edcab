"""The training loop of all models: seeded, checkpointed, and resumable after a kill without a trace."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from miniature.training.muon import Muon, is_hidden_matrix


@dataclass(frozen=True)
class Plan:
    """The schedule and the optimiser of a training.

    Attributes:
        steps: optimiser steps.
        lr: peak learning rate.
        warmup: steps of linear rise.
        hold: the step at which the cosine descent from the peak begins. Nothing before that step depends on it or on
            `steps`, so both can still be changed during a training.
        restart: the step at which the rate, having fallen, rises to half the peak and falls once more (Loshchilov and
            Hutter 2017, SGDR, arXiv 1608.03983); 0 for never. Up to that step, the plan is the same as one that ends
            there.
        decay: weight decay.
        muon: train hidden matrices by Muon instead of AdamW.
        average: horizon, in steps, of the exponential moving average of the weights; 0 for none.
        save_every: steps between checkpoints.
        log_every: steps between lines of the log.
    """

    steps: int
    lr: float
    warmup: int = 100
    hold: int = 0
    restart: int = 0
    decay: float = 0.01
    muon: bool = False
    average: int = 0
    save_every: int = 200
    log_every: int = 50

    def rate(self, step: int) -> float:
        """Learning rate of a step, counted from 0."""
        if self.restart and step >= self.restart:
            second = replace(self, steps=self.steps - self.restart, lr=self.lr / 2, hold=0, restart=0)
            return second.rate(step - self.restart)
        end = self.restart or self.steps
        after = max(0, step - self.hold) / max(1, end - self.hold)
        return self.lr * min(1, (step + 1) / self.warmup) * max(0.01, 0.5 * (1 + math.cos(math.pi * after)))


class Task(Protocol):
    """A model in training.

    Attributes:
        name: names its files.
        net: all that has weights, including helpers that only the training needs.
    """

    name: str
    net: nn.Module

    def loss(self, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        """The loss of a fresh batch drawn from `rng`, and metrics for the log."""


@dataclass
class _State:
    """The content of a checkpoint; `average` is None if the plan has none."""

    step: int
    cpu_seconds: float
    optimisers: list[torch.optim.Optimizer]
    average: list[Tensor] | None = None
    sums: dict[str, list[float]] = field(default_factory=dict)


def device() -> torch.device:
    """The device to train on: the first CUDA device, or the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def save_atomically(content: Any, path: Path) -> None:
    """`torch.save` that leaves either the old file or the new one, never a partial one."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        torch.save(content, file)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def _save(path: Path, task: Task, state: _State) -> None:
    content = {
        "step": state.step,
        "cpu_seconds": state.cpu_seconds,
        "net": task.net.state_dict(),
        "optimisers": [optimiser.state_dict() for optimiser in state.optimisers],
        "average": state.average,
    }
    save_atomically(content, path)


def _load(path: Path, task: Task, state: _State) -> None:
    content = torch.load(path, map_location=device(), weights_only=True)
    task.net.load_state_dict(content["net"])
    for optimiser, saved in zip(state.optimisers, content["optimisers"], strict=True):
        optimiser.load_state_dict(saved)
    state.step, state.cpu_seconds, state.average = content["step"], content["cpu_seconds"], content["average"]


def _follow(average: list[Tensor], weights: list[Tensor], horizon: int, step: int) -> None:
    """One step of the moving average; its horizon grows from 10 steps, to forget the random start."""
    torch._foreach_lerp_(average, weights, 1 / min(horizon, 10 + step / 4))


def plain_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention over tokens (the last two axes are tokens and features), in the dtype of `q`.

    All other implementations for a CPU compute in float32 and take two to four times as long, and attention is half of
    the cost of these models.
    """
    with torch.autocast(q.device.type, enabled=False):
        return ((q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)).softmax(-1) @ v


def _quick_sdpa(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    **others: Any,
) -> Tensor:
    """`scaled_dot_product_attention` by `plain_attention`, unless something is masked."""
    if attn_mask is not None or is_causal or dropout_p or others.get("scale") not in (None, q.shape[-1] ** -0.5):
        return _SDPA(q, k, v, attn_mask=attn_mask, dropout_p=dropout_p, is_causal=is_causal, **others)
    return plain_attention(q, k, v)


_SDPA = F.scaled_dot_product_attention


@contextmanager
def quick_attention() -> Iterator[None]:
    """On a CPU, replace the attention function that transformers and diffusers call."""
    F.scaled_dot_product_attention = _quick_sdpa if device().type == "cpu" else _SDPA
    try:
        yield
    finally:
        F.scaled_dot_product_attention = _SDPA


def _step(task: Task, plan: Plan, state: _State, weights: list[Tensor], seed: int) -> dict[str, float]:
    # Every step has its own generators, so a resumed training needs no generator state.
    rng = np.random.default_rng((seed, state.step))
    torch.manual_seed(int(rng.integers(2**62)))
    for optimiser in state.optimisers:
        optimiser.zero_grad()
        for group in optimiser.param_groups:
            group["lr"] = plan.rate(state.step)
    with quick_attention():
        loss, metrics = task.loss(rng)
        loss.backward()
    nn.utils.clip_grad_norm_(weights, 1.0)
    for optimiser in state.optimisers:
        optimiser.step()
    state.step += 1
    if state.average is not None:
        _follow(state.average, [w.detach() for w in weights], plan.average, state.step)
    return {"loss": float(loss.detach()), **metrics}


def make_optimisers(net: nn.Module, plan: Plan) -> list[torch.optim.Optimizer]:
    """AdamW for everything, or Muon for the hidden matrices and AdamW for the rest."""
    hidden = {name for name, weight in net.named_parameters() if plan.muon and is_hidden_matrix(name, weight)}
    rest = [weight for name, weight in net.named_parameters() if name not in hidden]
    adam = torch.optim.AdamW(rest, lr=plan.lr, weight_decay=plan.decay, betas=(0.9, 0.98), fused=True)
    if not hidden:
        return [adam]
    matrices = [weight for name, weight in net.named_parameters() if name in hidden]
    return [adam, Muon(matrices, lr=plan.lr, decay=plan.decay)]


def train(task: Task, plan: Plan, folder: Path, seed: int = 0) -> None:
    """Train `task.net` in place for `plan.steps` steps; it ends with the moving average if the plan has one.

    Keeps `<name>.checkpoint.pt` in `folder` and resumes from it, and writes `<name>.jsonl` there, whose first line
    holds the plan and the seed. On one device and with one number of threads, the result has the same bytes whether or
    not the training was interrupted.
    """
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint, log = folder / f"{task.name}.checkpoint.pt", folder / f"{task.name}.jsonl"
    task.net.to(device()).train()
    weights = list(task.net.parameters())
    average = [weight.detach().clone() for weight in weights] if plan.average else None
    state = _State(0, 0.0, make_optimisers(task.net, plan), average)
    if checkpoint.exists():
        _load(checkpoint, task, state)
    _forget_after(log, state.step)
    _log_plan(log, {"model": task.name, "step": state.step, "seed": seed, **asdict(plan)})
    began, spent = time.process_time(), state.cpu_seconds
    bar = tqdm(total=plan.steps, initial=state.step, desc=task.name, unit="step", smoothing=0.05)
    while state.step < plan.steps:
        for key, value in _step(task, plan, state, weights, seed).items():
            state.sums.setdefault(key, []).append(value)
        state.cpu_seconds = spent + time.process_time() - began
        bar.update()
        if state.step % plan.log_every == 0 or state.step == plan.steps:
            _log(log, task.name, plan, state, bar)
        if state.step % plan.save_every == 0 or state.step == plan.steps:
            _save(checkpoint, task, state)
    bar.close()
    _use_average(task, state.average)


def restore(task: Task, folder: Path) -> int:
    """Put the weights of the latest checkpoint (the average, if any) into `task.net`; return its step."""
    checkpoint = folder / f"{task.name}.checkpoint.pt"
    if not checkpoint.exists():
        raise FileNotFoundError(f"{task.name} has not been trained: there is no {checkpoint}")
    content = torch.load(checkpoint, map_location=device(), weights_only=True)
    task.net.to(device()).load_state_dict(content["net"])
    _use_average(task, content["average"])
    return content["step"]


def _use_average(task: Task, average: list[Tensor] | None) -> None:
    if average is not None:
        for weight, mean in zip(task.net.parameters(), average, strict=True):
            weight.data.copy_(mean)
    task.net.eval()


def _forget_after(log: Path, step: int) -> None:
    """Drop the log lines of steps that will be repeated."""
    if log.exists():
        lines = [line for line in log.read_text().splitlines(keepends=True) if json.loads(line)["step"] <= step]
        log.write_text("".join(lines))


def _log_plan(path: Path, plan: dict[str, Any]) -> None:
    """Add the plan to the log if it differs from the last one there; a training can be resumed with another plan."""
    earlier = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    defaults = asdict(Plan(steps=0, lr=0))  # older lines lack the newer fields
    plans = [defaults | line | {"step": plan["step"]} for line in earlier if "seed" in line]
    if not plans or plans[-1] != plan:
        with path.open("a") as file:
            file.write(json.dumps(plan) + "\n")


def _log(path: Path, name: str, plan: Plan, state: _State, bar: tqdm) -> None:
    means = {key: round(float(np.mean(values)), 5) for key, values in state.sums.items()}
    state.sums.clear()
    line = {
        "model": name,
        "step": state.step,
        **means,
        "lr": float(f"{plan.rate(state.step - 1):.3g}"),
        "cpu_seconds": round(state.cpu_seconds, 1),
    }
    with path.open("a") as file:
        file.write(json.dumps(line) + "\n")
    bar.set_postfix({key: f"{value:.3g}" for key, value in means.items()})
