"""Byte-level BPE tokenizers trained on the world's texts; any other text is split into bytes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from grace.pipeline.world.sentences import world_phrases

if TYPE_CHECKING:
    from transformers import CLIPTokenizer, PreTrainedTokenizerFast

VOCABULARY = 2048
START, STOP, PAD = "<|im_start|>", "<|im_end|>", "<|endoftext|>"
IMAGE_TOKENS = ("<image>", "<fake_token_around_image>", "<global-img>", "<end_of_utterance>")

# A key of the answer's JSON is one token with the punctuation around it, so that a cue has ten tokens, not twenty.
_KEY = r'(?:"[,}\]{\[ ]*)?\{?"(?:description|cues|region|action|intensity|phase)": (?:\[\{?|")?'
# A fixed phrase of the world's texts ("the lip corners", "lower and draw together") is one token too: phrases are what
# the models choose and copy, and a caption of six movements has thirty tokens instead of seventy.
_PHRASES = sorted(world_phrases(), key=lambda phrase: (-len(phrase), phrase))
_PHRASE = rf"(?: |, )?(?:{'|'.join(map(re.escape, _PHRASES))})(?!\p{{L}})"
_WORD = r" ?\p{L}+| ?\p{N}|[^\s\p{L}\p{N}]+|\s+"

CHAT_TEMPLATE = """\
{%- for message in messages -%}
<|im_start|>{{ message.role }}
{% if message.content is string %}{{ message.content }}{% else %}
{%- for part in message.content %}{% if part.type == 'image' %}<image>{% else %}{{ part.text }}{% endif %}{% endfor -%}
{% endif %}<|im_end|>
{% endfor -%}
{%- if add_generation_prompt -%}
<|im_start|>assistant
{% endif -%}"""


def train_chat_tokenizer(texts: Iterable[str], images: bool = False) -> PreTrainedTokenizerFast:
    """A chat tokenizer; with ``images``, it has the image tokens of Idefics3."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(f"{_KEY}|{_PHRASE}|{_WORD}"), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    special = [PAD, START, STOP, *(IMAGE_TOKENS if images else ())]
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=STOP,
        pad_token=PAD,
        additional_special_tokens=[token for token in special if token not in (STOP, PAD)],
        model_max_length=2048,
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )
    fast.chat_template = CHAT_TEMPLATE
    return fast


def train_clip_tokenizer(texts: Iterable[str], folder: Path) -> CLIPTokenizer:
    """A tokenizer like CLIP's own (lower case, words end in ``</w>``), saved in ``folder``.

    If ``folder`` has one, that is used: trained again, it could number its tokens differently, and weights trained with
    the first would be useless.
    """
    import json

    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import CLIPTokenizer

    if (folder / "tokenizer.json").is_file():
        kept: CLIPTokenizer = CLIPTokenizer.from_pretrained(folder)
        return kept
    start, end = "<|startoftext|>", "<|endoftext|>"
    pattern = CLIPTokenizer().backend_tokenizer
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>", unk_token=end))
    tokenizer.normalizer, tokenizer.pre_tokenizer = pattern.normalizer, pattern.pre_tokenizer
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[start, end],
        initial_alphabet=alphabet,
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    vocabulary: dict[str, int] = model["vocab"]
    for letter in alphabet:  # CLIP's vocabulary has every byte twice: inside a word and at its end
        vocabulary.setdefault(f"{letter}</w>", len(vocabulary))
    made = CLIPTokenizer(vocab=vocabulary, merges=[tuple(merge) for merge in model["merges"]], model_max_length=77)
    made.save_pretrained(folder)
    return made
