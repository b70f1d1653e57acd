"""One training run: AdamW, cosine with warm-up, clipped gradients, averaged weights, early stopping, exact resume.

The loop is given the clips to learn from and the clips that choose the epoch, and no others.
"""

from __future__ import annotations

import io
import logging
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from grace.pipeline.devices import choose_device, keep_freed_memory
from grace.pipeline.store import GraceError, UserError, write_atomic
from grace.pipeline.store.checksum import is_intact, seal, unsealed
from grace.trainer.batch import Batch, Output
from grace.trainer.controls import Probe
from grace.trainer.data import Order, Subset
from grace.trainer.determinism import lower_precision, reproducible
from grace.trainer.joining import joining_weights
from grace.trainer.live_logging import LiveLogger
from grace.trainer.losses import LossConfig, total_loss
from grace.trainer.metrics import uar, war
from grace.trainer.model import Model
from grace.trainer.probe import fit_probe
from grace.trainer.protocol import TrainSelection
from grace.trainer.settings import TrainSettings
from grace.trainer.standardisation import standardise
from grace.trainer.targets import soft_targets

CHECKPOINT = "checkpoint.pt"

Weights = dict[str, Tensor]

logger = logging.getLogger(__name__)


@dataclass
class Progress:
    """The state of a run after some epochs, beside its weights."""

    epoch: int = 0  # the last one done
    best_epoch: int = 0
    best_score: float = -math.inf
    history: list[dict[str, float]] = field(default_factory=list)


@dataclass
class Trained:
    """The weights of the chosen epoch, and the history of all epochs."""

    weights: Weights
    best_epoch: int
    history: list[dict[str, float]]


def fit(
    model: Model,
    selection: TrainSelection,
    settings: TrainSettings,
    folder: Path,
    fingerprint: str,
    quiet: bool = False,
) -> Trained:
    """Train and return the averaged weights of the epoch with the best UAR on ``selection.validation``.

    Under ``held-out`` an epoch's score is the mean UAR of the last ``settings.selection_window`` epochs: a rare class
    has a handful of validation clips, and the best single epoch is the luckiest one. ``best-test`` takes that single
    epoch, as the field does.
    After each epoch ``folder/checkpoint.pt`` is replaced and its metrics are logged; a run that was killed continues
    from there and, on a CPU, ends with the same weights. A checkpoint of another ``fingerprint`` is not used. The
    caller removes it at the end. Warns once when plans did not converge.

    Args:
        model: Trained in place, on the device that the settings name; a linear probe is fitted on the CPU instead.
        selection: The clips to learn from, and those that choose the epoch.
        settings: The section ``train`` of ``params.yaml``.
        folder: The run's folder, for the checkpoint and the logs.
        fingerprint: Of all that the run is made from.
        quiet: No progress bar, and no line in the log about where it starts.

    Returns:
        The weights by name, the number of the chosen epoch, and the numbers of every epoch. Of a linear probe, each
        penalty counts as an epoch.

    Raises:
        GraceError: The loss or the gradient is not finite.
        UserError: The checkpoint is damaged, or there is no such device.
    """
    from tqdm import tqdm

    device = choose_device(settings.device)
    keep_freed_memory(device)
    with reproducible(settings):
        if isinstance(model, Probe):
            standardise(model, selection.train, settings.batch, torch.device("cpu"))
            best, history = fit_probe(model, selection, settings.batch, uar_column(settings))
            return Trained(_copy(model), best, history)
        run = _Run(model.to(device), selection, settings, device)
        run.resume(folder / CHECKPOINT, fingerprint)
        epochs = range(run.progress.epoch, settings.epochs)
        if not quiet:
            logger.info(epochs_line("/".join(folder.parts[-2:]), run.progress.epoch, settings.epochs))
        bar = tqdm(epochs, "train", settings.epochs, initial=run.progress.epoch, unit="epoch", disable=quiet)
        with LiveLogger(folder, run.progress.history, settings.loggers, settings.cache_key()) as curves:
            for _ in bar:
                if run.should_stop():
                    break
                row = run.epoch()
                write_atomic(folder / CHECKPOINT, run.checkpoint(fingerprint))
                curves.add(row)
                bar.set_postfix(loss=f"{row['loss']:.3f}", uar=f"{row[run.column]:.3f}")
        return Trained(run.best, run.progress.best_epoch, run.progress.history)


def epochs_line(name: str, done: int, epochs: int) -> str:
    """What there is to train, in one line; a run whose patience ends takes fewer epochs.

    Args:
        name: Of the run, such as ``grace/fold-1``.
        done: Epochs of earlier calls, 0 of a new run.
        epochs: The most that there will be, those included.

    Example:
        >>> epochs_line("fold-1", 0, 30), epochs_line("fold-2", 12, 30)
        ('train fold-1: epochs 1 to 30 at most', 'train fold-2: 12 epochs are done, resumed with 13 of 30 at most')
    """
    if not done:
        return f"train {name}: epochs 1 to {epochs} at most"
    known = "1 epoch is" if done == 1 else f"{done} epochs are"
    return f"train {name}: {known} done, resumed with {done + 1} of {epochs} at most"


def uar_column(settings: TrainSettings) -> str:
    """The column of ``history.csv`` by which an epoch is chosen."""
    return "best_test_uar" if settings.protocol == "best-test" else "validation_uar"


class _Run:
    """The state of one run and its epoch."""

    def __init__(self, model: Model, selection: TrainSelection, settings: TrainSettings, device: torch.device) -> None:
        self.model, self.settings, self.device = model, settings, device
        self.training, self.validation = selection.train, selection.validation
        if settings.standardise:
            standardise(model, selection.train, settings.batch, device)
        decayed = [p for p in model.parameters() if p.ndim > 1]
        others = [p for p in model.parameters() if p.ndim <= 1]  # biases, norms, β: not shrunk
        groups = [{"params": decayed, "weight_decay": settings.weight_decay}, {"params": others, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=settings.learning_rate)
        self.average = _copy(model)
        self.best = _copy(model)
        self.progress = Progress()
        self.column = uar_column(settings)
        self.labels = torch.from_numpy(self.training.labels).to(device)
        self.soft = torch.from_numpy(soft_targets(self.training)).to(device) if settings.targets == "votes" else None
        self.prior = torch.from_numpy(self._class_shares()).float().to(device)
        self.steps_per_epoch = math.ceil(len(self.training) / settings.batch)
        self.bfloat16 = lower_precision(settings.precision, device)
        self.matcher = model.config.matcher()
        self.loss = LossConfig.from_settings(settings, self.matcher)
        self.warned = False

    def epoch(self) -> dict[str, float]:
        """One pass over the training clips, scored on the validation clips; the row for ``history.csv``."""
        number = self.progress.epoch + 1
        torch.manual_seed(self.settings.seed * 1_000_003 + number)  # an epoch's randomness depends on its number alone
        sums: dict[str, float] = {}
        order = Order(
            self.settings.seed * 1_000_003 + number, self.settings.sampling == "balanced", self.settings.mirror
        )
        self.model.train()
        batches = self.training.indexed_batches(self.settings.batch, order, self.device)
        for index, (batch, clips) in enumerate(batches):
            rate = self._set_rate((number - 1) * self.steps_per_epoch + index)
            terms = self._step(batch, clips.to(self.device), number)
            for name, value in terms.items():
                sums[name] = sums.get(name, 0.0) + value * len(clips)
        means = {name: total / len(self.training) for name, total in sums.items()}
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

    def _class_shares(self) -> Float[np.ndarray, " classes"]:
        """The share of each class in what is learned; a class that has a label but no vote counts as one clip."""
        counts = np.bincount(self.training.labels, minlength=self.model.config.classes).astype(np.float64)
        if self.settings.sampling == "balanced":
            counts = np.minimum(counts, 1)
        elif self.soft is not None:
            counts = np.maximum(self.soft.cpu().numpy().sum(0, dtype=np.float64), 1)
        return counts / counts.sum()

    def _step(self, batch: Batch, clips: Int[Tensor, " batch"], epoch: int) -> dict[str, float]:
        soft = None if self.soft is None else self.soft[clips]
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
            output = self.model(self._augmented(batch))
            terms = total_loss(output, self.labels[clips], self.prior, self.loss, soft)
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

    def _augmented(self, batch: Batch) -> Batch:
        """What a step sees of a batch: shifted in time, without some of its patches and texts."""
        dropped = torch.rand(batch.has_text.shape, device=self.device) < self.settings.text_dropout
        seen = batch.shift(self.settings.jitter).drop_patches(self.settings.patch_dropout)
        return seen.drop_text(dropped) if self.model.reads_text else seen

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
        """UAR and WAR of the averaged weights on the validation clips, which also say how heads are joined."""
        live = _copy(self.model)
        self.model.load_state_dict(self.average)
        heard = head_scores(self.model, self.validation, self.settings.batch, self.device)
        labels = self.validation.labels
        if self.settings.join == "validation" and len(self.model.heads) > 1:
            weights = joining_weights(heard.scores, heard.speaks, labels)
            self.average["joining"].copy_(torch.from_numpy(weights))
        predicted = heard.joined(self.average["joining"].cpu().numpy()).argmax(1)
        self.model.load_state_dict(live)
        return uar(labels, predicted, self.model.config.classes), war(labels, predicted)

    def checkpoint(self, fingerprint: str) -> bytes:
        """Everything needed to continue."""
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
        return seal(buffer.getvalue())

    def resume(self, path: Path, fingerprint: str) -> None:
        """Continue from a checkpoint, if there is one of this run."""
        if not path.exists():
            return
        try:
            content = path.read_bytes()
            if not is_intact(content):
                raise ValueError("its content does not fit its checksum")
            state = torch.load(io.BytesIO(unsealed(content)), map_location=self.device, weights_only=True)
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
    """Stop before a value that is not finite reaches the weights."""
    if not bool(torch.isfinite(value)):
        raise GraceError(
            f"The {name} is {value.item()} in epoch {epoch}: lower train.learning_rate or raise train.epsilon."
        )


@dataclass(frozen=True)
class HeadScores:
    """What each head says of each clip, and of which clips it says something."""

    scores: Float[np.ndarray, "heads clips classes"]
    speaks: Bool[np.ndarray, "heads clips"]

    def joined(self, weights: Float[np.ndarray, " heads"]) -> Float[np.ndarray, "clips classes"]:
        """The weighted sum of the heads' scores."""
        return np.einsum("h,hc,hck->ck", weights, self.speaks, self.scores)


def head_scores(model: Model, subset: Subset, size: int, device: torch.device) -> HeadScores:
    """The scores of every head, averaged over the texts of a clip.

    Args:
        model: A model on ``device``; it is left in evaluation mode.
        subset: The clips.
        size: Clips per batch.
        device: Where the scores are computed.

    Returns:
        Scores [heads, clips, classes] in the order of ``model.heads``, and which clips each head reads [heads, clips].
    """
    model.eval()
    texts = subset.cache.texts if model.reads_text else 1
    scores, speaks = [], []
    with torch.inference_mode():
        for number in range(texts):
            # Of each output only the scores are kept: its plan holds a number for every patch and word.
            found = [_scores_of(model(batch)) for batch, _ in subset.batches(size, device=device, text=number)]
            scores.append(np.concatenate([values for values, _ in found], axis=1))
            speaks.append(np.concatenate([heads for _, heads in found], axis=1))
    return HeadScores(np.mean(scores, axis=0), speaks[0])


def _scores_of(output: Output) -> tuple[Float[np.ndarray, "heads batch classes"], Bool[np.ndarray, "heads batch"]]:
    scores = torch.stack(list(output.heads.values())).float()
    return scores.cpu().numpy(), output.speaks.cpu().numpy()


def predict(model: Model, subset: Subset, size: int, device: torch.device) -> Float[np.ndarray, "clips classes"]:
    """Class probabilities of every clip of a subset, in its order, from batches of ``size``.

    The scores of a clip's texts are averaged.

    Args:
        model: A model on ``device``; it is left in evaluation mode.
        subset: The clips.
        size: Clips per batch.
        device: Where the scores are computed.

    Returns:
        Probabilities [clips, classes]; rows sum to 1.
    """
    logits = head_scores(model, subset, size, device).joined(model.joining.cpu().numpy())
    return torch.from_numpy(logits).softmax(-1).numpy()


def _copy(model: nn.Module) -> Weights:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}
