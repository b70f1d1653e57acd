"""A trained run as three lines of Python: ``GraceClassifier.from_pretrained(folder).predict(row)``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import nn

from grace.pipeline.devices import choose_device
from grace.pipeline.store import Row, UserError
from grace.trainer.data import collate, scatter_to_grid
from grace.trainer.model import ModelConfig, build
from grace.trainer.train import read_config


class GraceClassifier:
    """A run folder, opened: its weights, its class names, what made its tokens.

    >>> classifier = GraceClassifier.from_pretrained("data/demo/runs/grace/fold-1")
    >>> probabilities, plan = classifier.predict(row)
    """

    def __init__(self, model: nn.Module, config: ModelConfig, labels: list[str], cache: dict[str, Any]) -> None:
        self.model, self.config, self.labels = model, config, labels
        self.cache = cache
        """Identity of the tokens and motion it was trained on; others need not fit."""

    @classmethod
    def from_pretrained(cls, folder: str | Path, device: str = "cpu") -> GraceClassifier:
        """Open a finished run. Raises :class:`UserError` when files are missing or do not belong together."""
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        content = read_config(Path(folder))
        path = Path(folder) / "model.safetensors"
        try:
            config = ModelConfig(**content["model"])
            model = build(config)
            model.load_state_dict(load_file(path))
        except FileNotFoundError:
            raise UserError(f"{path} is missing: run `grace train` again.") from None
        except (SafetensorError, RuntimeError, TypeError, KeyError) as error:
            raise UserError(
                f"{path} does not fit its config.yaml ({type(error).__name__}): remove {folder} and run `grace train` "
                f"again."
            ) from error
        return cls(model.to(choose_device(device)).eval(), config, content["labels"], content["cache"])

    def predict(
        self, row: Row
    ) -> tuple[Float[np.ndarray, " classes"], Float[np.ndarray, "text instants patches"] | None]:
        """Probabilities of the classes, and the plan [L, T, P] from words to patches and instants (None but of grace).

        ``row`` holds one clip's arrays: visual [T, P, D], frame [T, D], text [L, D], text_mask [L], sentence [L],
        motion [T, G, G], and what int8 or ``tokens.keep`` add. Rows of padding in the plan are zero; its patches are
        those of the whole grid. Warns when the plan did not converge. Raises :class:`UserError` when a size differs
        from the run's.
        """
        self._check(row)
        device = next(self.model.parameters()).device
        with torch.inference_mode():
            output = self.model(collate([row]).to(device))
        probabilities = output.logits[0].float().softmax(-1).cpu().numpy()
        if output.alignment is None or self.config.method != "grace":
            return probabilities, None
        self.config.matcher().warn_if_not_converged(float(output.alignment.marginal_error.max()))
        plan = np.zeros((len(row["text_mask"]), *row["visual"].shape[:2]), dtype=np.float32)
        solved = output.alignment.plan[0].cpu().numpy()
        plan[: len(solved)] = solved.reshape(len(solved), *row["visual"].shape[:2])
        return probabilities, scatter_to_grid(plan, row)

    def _check(self, row: Row) -> None:
        wanted = (self.config.instants, self.config.patches, self.config.width)
        if row["visual"].shape != wanted:
            raise UserError(
                f"The clip's visual tokens are {row['visual'].shape}, the run wants {wanted} (instants, patches, "
                f"width): make them with the settings in the run's config.yaml."
            )
