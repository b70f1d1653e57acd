"""A checkpoint of transformers, opened where it shall compute; every broken folder gets one sentence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from transformers import AutoModel
from transformers.utils import logging

from grace.pipeline.checkpoints import download_line, model_name, require_model
from grace.pipeline.devices import choose_device, choose_dtype, keep_freed_memory
from grace.pipeline.errors import UserError
from grace.pipeline.messages import error_line


@dataclass(frozen=True)
class Checkpoint:
    """An opened model and where its other parts (tokenizer, image processor) are.

    Attributes:
        model: The model, on its device and in evaluation mode.
        name: Its name in messages.
        source: The folder that transformers opens.
    """

    model: Any
    name: str
    source: str

    @classmethod
    def load(cls, model: str, revision: str | None = None, dtype: str = "auto", device: str = "auto") -> Checkpoint:
        """Open a model, as transformers' ``AutoModel`` does; no code of the checkpoint is run.

        Args:
            model: A folder, one of the installed models, or a hub id.
            revision: Branch, tag or commit of a hub model.
            dtype: A type of PyTorch, such as ``bfloat16``; ``auto`` is what the device is good at.
            device: A device of PyTorch, such as ``cuda:1``; ``auto`` is the first GPU, else the CPU.

        Raises:
            UserError: There is no such model, or it cannot be opened.
        """
        source, where, name = require_model(model, revision), choose_device(device), model_name(model)
        keep_freed_memory(where)
        logging.disable_progress_bar()  # the step has one of its own
        try:
            opened = AutoModel.from_pretrained(source, dtype=choose_dtype(dtype, where), trust_remote_code=False)
        except Exception as error:  # transformers reports each kind of broken folder with another exception
            raise _refusal(name, error, download_line(model, revision)) from error
        return cls(opened.to(where).eval(), name, source)

    def part(self, kind: Any, **more: Any) -> Any:
        """The checkpoint's ``AutoProcessor``, ``AutoTokenizer`` or ``AutoImageProcessor``."""
        try:
            return kind.from_pretrained(self.source, trust_remote_code=False, **more)
        except Exception as error:  # as above
            raise _refusal(self.name, error) from error


def _refusal(name: str, error: Exception, hint: str = "") -> UserError:
    """``hint`` is the line that fetches it: a part of it may be missing from the cache."""
    return UserError(f"The model {name} cannot be opened: {error_line(error)}. {hint}".strip())
