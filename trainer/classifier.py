"""A trained run over cached tensors; ``grace.GraceClassifier`` stands on it and takes videos as well."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from grace.pipeline.devices import choose_device
from grace.pipeline.store import Row, UserError
from grace.trainer.data import collate, scatter_to_grid
from grace.trainer.layers import ModelConfig
from grace.trainer.methods import build
from grace.trainer.model import Model
from grace.trainer.runs import RunConfig, check_file, read_config


class TokenClassifier:
    """An opened run: cached tensors of a clip to class probabilities.

    Attributes:
        model: the network, in evaluation mode.
        run: its ``config.yaml``: class names, settings, and what its tokens and motion were made with (tokens of
            another model or other settings do not fit).
        labels: class names, in the order of the probabilities.

    Example:
        >>> from grace.trainer.data import Cache
        >>> classifier = TokenClassifier.from_pretrained("data/demo/runs/grace/fold-1")
        >>> probabilities, plan = classifier.predict(Cache("data/demo").row("clip-000"))
        >>> classifier.labels[probabilities.argmax()]
        'happiness'
        >>> plan.shape  # words, instants, patches
        (10, 4, 9)
    """

    def __init__(self, model: Model, run: RunConfig) -> None:
        self.model, self.run, self.labels = model, run, run.labels

    @classmethod
    def from_pretrained(cls, folder: str | Path, device: str = "cpu") -> TokenClassifier:
        """Open a finished run.

        Args:
            folder: the run folder, such as ``data/demo/runs/grace/fold-1``.
            device: where it computes; ``auto`` is the first GPU, else the CPU.

        Raises:
            UserError: files are missing, damaged, or do not belong together.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        run = read_config(Path(folder))
        path = Path(folder) / "model.safetensors"
        try:
            model = build(ModelConfig(**run.model))
            model.load_state_dict(load_file(check_file(Path(folder), run, "model.safetensors")))
        except (SafetensorError, RuntimeError, TypeError, KeyError) as error:
            raise UserError(
                f"{path} does not fit its config.yaml ({type(error).__name__}): remove {folder} and run `grace train` "
                f"again."
            ) from error
        if not all(bool(torch.isfinite(value).all()) for value in model.state_dict().values()):
            raise UserError(f"{path} holds weights that are no numbers: remove {folder} and run `grace train` again.")
        return cls(model.to(choose_device(device)).eval(), run)

    def predict(
        self, row: Row, text: bool = True
    ) -> tuple[Float[np.ndarray, " classes"], Float[np.ndarray, "text instants patches"] | None]:
        """Class probabilities of one clip, and how its words are aligned with its patches.

        Warns when the plan did not converge.

        Args:
            row: the clip's arrays: visual [T, P, D], frame [T, D], text [L, D], text_mask [L], sentence [L],
                motion [T, G, G], and what int8 or ``tokens.patches`` add.
            text: False leaves the text out: the heads that read it are silent, and there is no plan.

        Returns:
            Probabilities, which sum to 1, and the transport plan [L, T, P] over the whole patch grid. Rows of padding
            are zero. The plan is None for methods other than ``grace``, and for a clip without text.

        Raises:
            UserError: a size differs from the run's, or the method reads nothing but text and there is none.
        """
        self._check(row)
        self.check_text(text)
        device = next(self.model.parameters()).device
        with torch.inference_mode():
            batch = collate([row]).to(device)
            output = self.model(batch if text else batch.drop_text(torch.ones_like(batch.has_text)))
        probabilities = output.logits[0].float().softmax(-1).cpu().numpy()
        if output.alignment is None or not self.model.aligns_words or not bool(output.has_text.all()):
            return probabilities, None
        self.model.config.matcher().warn_if_not_converged(float(output.alignment.marginal_error.max()))
        plan = np.zeros((len(row["text_mask"]), *row["visual"].shape[:2]), dtype=np.float32)
        solved = output.alignment.plan[0].cpu().numpy()
        plan[: len(solved)] = solved.reshape(len(solved), *row["visual"].shape[:2])
        return probabilities, scatter_to_grid(plan, row)

    @property
    def reads_only_text(self) -> bool:
        """Whether every head of the run's method reads the text."""
        return self.model.reads_only_text

    def check_text(self, text: bool) -> None:
        """Raise :class:`UserError` when there is no ``text`` and the run's method reads nothing else."""
        if not text and self.reads_only_text:
            raise UserError(f"Method {self.run.settings.method} reads nothing but text: it says nothing without one.")

    def _check(self, row: Row) -> None:
        config = self.model.config
        found = (*row["visual"].shape, row["text"].shape[-1])
        expected = (config.instants, config.patches, config.width, config.text_width)
        if found != expected:
            raise UserError(
                f"The clip's tokens are {found}, the run needs {expected} (instants, patches, widths of video and "
                "text): make them with the settings in the run's config.yaml."
            )
