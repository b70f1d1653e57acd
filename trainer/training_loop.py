"""One training run: AdamW, cosine with warm-up, clipped gradients, averaged weights, early stopping, exact resume.

The loop is handed the clips it may learn from and the clips that choose the epoch, and knows of no others.
"""

from __future__ import annotations

import io
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from grace.pipeline.devices import choose_device
from grace.pipeline.store import GraceError, UserError, write_atomic
from grace.trainer.alignment import Matcher
from grace.trainer.batch import Batch
from grace.trainer.data import Subset
from grace.trainer.determinism import lower_precision, reproducible
from grace.trainer.live_logging import LiveLogger
from grace.trainer.losses import LossConfig, total_loss
from grace.trainer.metrics import uar, war
from grace.trainer.protocol import TrainSelection
from grace.trainer.settings import TrainSettings

CHECKPOINT = "checkpoint.pt"

Weights = dict[str, Tensor]


@dataclass
class Progress:
    """All that a run is after some epochs, beside the live weights."""

    epoch: int = 0  # done
    best_epoch: int = 0
    best_score: float = -math.inf
    history: list[dict[str, float]] = field(default_factory=list)


@dataclass
class Trained:
    """The chosen weights and how they came about."""

    weights: Weights
    best_epoch: int
    history: list[dict[str, float]]


def fit(
    model: nn.Module,
    choice: TrainSelection,
    settings: TrainSettings,
    folder: Path,
    fingerprint: str,
    quiet: bool = False,
) -> Trained:
    """Train and return the averaged weights of the epoch with the best UAR on ``choice.selection``.

    Under ``held-out`` an epoch's score is the mean UAR of the last ``settings.smoothing`` epochs: a rare class has a
    handful of validation clips, and the best single epoch is the luckiest one. ``best-test`` takes just that one, as
    the field does.
    After each epoch ``folder/checkpoint.pt`` is replaced and DVCLive's curves grow; a run that was killed goes on from
    there and, on a CPU, ends with the same weights. A checkpoint of another ``fingerprint`` is not used. The caller
    removes it at the end. Warns once when plans did not converge.
    Raises :class:`GraceError` when the loss is no longer a number or the checkpoint is broken.
    """
    from tqdm import tqdm

    device = choose_device(settings.device)
    with reproducible(settings):
        run = _Run(model.to(device), choice, settings, device)
        run.resume(folder / CHECKPOINT, fingerprint)
        epochs = range(run.progress.epoch, settings.epochs)
        bar = tqdm(epochs, "train", settings.epochs, initial=run.progress.epoch, unit="epoch", disable=quiet or None)
        with LiveLogger(folder, run.progress.history) as curves:
            for _ in bar:
                if run.should_stop():
                    break
                row = run.epoch()
                write_atomic(folder / CHECKPOINT, run.checkpoint(fingerprint))
                curves.add(row)
                bar.set_postfix(loss=f"{row['loss']:.3f}", uar=f"{row[run.column]:.3f}")
        return Trained(run.best, run.progress.best_epoch, run.progress.history)


class _Run:
    """The state of one run and its epoch."""

    def __init__(self, model: nn.Module, choice: TrainSelection, settings: TrainSettings, device: torch.device) -> None:
        self.model, self.choice, self.settings, self.device = model, choice, settings, device
        decayed = [p for p in model.parameters() if p.ndim > 1]
        others = [p for p in model.parameters() if p.ndim <= 1]  # biases, norms, β: not shrunk
        groups = [{"params": decayed, "weight_decay": settings.weight_decay}, {"params": others, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=settings.learning_rate)
        self.average = _copy(model)
        self.best = _copy(model)
        self.progress = Progress()
        self.column = "best_test_uar" if settings.protocol == "best-test" else "validation_uar"
        counts = np.bincount(choice.train.labels, minlength=len(choice.train.cache.labels))
        self.prior = torch.from_numpy(counts / counts.sum()).float().to(device)
        self.steps_per_epoch = -(-len(choice.train) // settings.batch)
        self.half = lower_precision(settings.precision, device)
        self.matcher = Matcher(
            settings.epsilon, settings.sinkhorn_iterations, settings.transport, settings.column_weight
        )
        self.loss = LossConfig(
            transport=settings.transport_weight,
            contrastive=settings.contrastive_weight,
            logit_adjustment=settings.logit_adjustment,
            matcher=self.matcher,
        )
        self.warned = False

    def epoch(self) -> dict[str, float]:
        """One pass over the training part and a look at the selection part; the row for ``history.csv``."""
        number = self.progress.epoch + 1
        torch.manual_seed(self.settings.seed * 1_000_003 + number)  # an epoch's randomness depends on its number alone
        sums: dict[str, float] = {}
        order = self.settings.seed * 1_000_003 + number
        self.model.train()
        batches = self.choice.train.batches(self.settings.batch, order, self.device)
        for index, (batch, labels) in enumerate(batches):
            rate = self._set_rate((number - 1) * self.steps_per_epoch + index)
            terms = self._step(batch, labels, number)
            for name, value in terms.items():
                sums[name] = sums.get(name, 0.0) + value * len(labels)
        means = {name: total / len(self.choice.train) for name, total in sums.items()}
        self.warned = self.warned or self.matcher.warn_if_not_converged(means.get("marginal_error", 0.0))
        score, accuracy = self._select()
        row = {"epoch": float(number), **means, "learning_rate": rate, self.column: score}
        row[self.column.replace("uar", "war")] = accuracy
        self.progress.epoch = number
        self.progress.history.append(row)
        recent = [past[self.column] for past in self.progress.history[-self.settings.window :]]
        if len(recent) == self.settings.window and np.mean(recent) > self.progress.best_score:
            self.progress.best_score, self.progress.best_epoch = float(np.mean(recent)), number
            self.best = {name: value.clone() for name, value in self.average.items()}
        return row

    def should_stop(self) -> bool:
        """Whether patience has run out."""
        return self.progress.epoch - self.progress.best_epoch >= self.settings.patience

    def _step(self, batch: Batch, labels: Int[Tensor, " batch"], epoch: int) -> dict[str, float]:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
            output = self.model(batch.drop_patches(self.settings.patch_dropout))
            terms = total_loss(output, labels, self.prior, self.loss)
        _check_finite("loss", terms["loss"], epoch)
        self.optimizer.zero_grad(set_to_none=True)
        terms["loss"].backward()
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.clip_norm)
        _check_finite("gradient's length", norm, epoch)
        self.optimizer.step()
        with torch.no_grad():
            for name, value in self.model.state_dict().items():
                self.average[name].lerp_(value, 1 - self.settings.ema)
        values = {name: float(term.detach()) for name, term in terms.items()}
        if output.alignment is not None:
            values["marginal_error"] = float(output.alignment.marginal_error.mean())
        return values

    def _set_rate(self, step: int) -> float:
        """Linear warm-up, then cosine to zero (Loshchilov & Hutter 2017)."""
        total = self.settings.epochs * self.steps_per_epoch
        warm = self.settings.warmup * total
        share = (
            (step + 1) / warm if step < warm else (1 + math.cos(math.pi * (step - warm) / max(1.0, total - warm))) / 2
        )
        rate = self.settings.learning_rate * min(1.0, share)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        return rate

    def _select(self) -> tuple[float, float]:
        """UAR and WAR of the averaged weights on the selection part."""
        live = _copy(self.model)
        self.model.load_state_dict(self.average)
        probabilities = predict(self.model, self.choice.selection, self.settings.batch, self.device)
        self.model.load_state_dict(live)
        labels, predicted = self.choice.selection.labels, probabilities.argmax(1)
        return uar(labels, predicted, probabilities.shape[1]), war(labels, predicted)

    def checkpoint(self, fingerprint: str) -> bytes:
        """Everything needed to go on."""
        buffer = io.BytesIO()
        state = {
            "fingerprint": fingerprint,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average,
            "best": self.best,
            "progress": asdict(self.progress),
        }
        torch.save(state, buffer)
        return buffer.getvalue()

    def resume(self, path: Path, fingerprint: str) -> None:
        """Take up the state of a checkpoint, if there is one of this very run."""
        if not path.exists():
            return
        try:
            state = torch.load(path, map_location=self.device, weights_only=True)
            if state["fingerprint"] != fingerprint:
                return
            self.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.average, self.best = state["average"], state["best"]
            self.progress = Progress(**state["progress"])
        except Exception as error:  # torch.load raises half a dozen unrelated types for a damaged file
            raise UserError(
                f"{path} is damaged ({type(error).__name__}): remove it and run `grace train` again; the fold then "
                f"starts from its first epoch."
            ) from error


def _check_finite(name: str, value: Tensor, epoch: int) -> None:
    """Stop before a number that is none reaches the weights."""
    if not bool(torch.isfinite(value)):
        raise GraceError(
            f"The {name} is {value.item()} in epoch {epoch}: lower train.learning_rate or raise train.epsilon."
        )


def predict(model: nn.Module, part: Subset, size: int, device: torch.device) -> Float[np.ndarray, "clips classes"]:
    """Class probabilities of every clip of a part, in its order."""
    model.eval()
    rows = []
    with torch.inference_mode():
        for batch, _ in part.batches(size, device=device):
            rows.append(model(batch).logits.float().softmax(-1).cpu().numpy())
    return np.concatenate(rows)


def _copy(model: nn.Module) -> Weights:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}
