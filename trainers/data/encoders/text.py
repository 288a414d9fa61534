"""Text -> token ids. N texts, T max_length."""

import json
from pathlib import Path

import numpy as np
import tokenizers
from tokenizers import models, normalizers, pre_tokenizers, trainers

from trainers.data.delimited import Layout, read_texts
from trainers.data.encoders.base import Encoder

PAD, UNKNOWN = "[PAD]", "[UNK]"
KINDS = ("word", "wordpiece", "bpe", "char")
_LONGEST = 512


class TextEncoder(Encoder):
    """Texts -> int32 [N, T]; 0 is padding, 1 what the vocabulary lacks. Chinese, Japanese and Korean characters are words.

    Args:
      kind: of vocabulary: "word", "wordpiece", "bpe" or "char"; trained on the training split.
      vocab: the most entries it may have.
      max_length: T; longer texts lose their end. None for the length that 98% of the training texts keep, at most 512.
      lowercase: and strip accents.
      layout: of a file with texts in a column, for `read`.
      tokenizer: as fitted, JSON of the `tokenizers` package.
    """

    name = "text"

    def __init__(
        self,
        kind: str = "word",
        vocab: int = 10_000,
        max_length: int | None = None,
        lowercase: bool = True,
        layout: dict | None = None,
        tokenizer: dict | None = None,
    ) -> None:
        if kind not in KINDS:
            raise ValueError(f"unknown tokenizer {kind!r}. Accepted: {', '.join(KINDS)}")
        self.kind, self.vocab, self.max_length, self.lowercase, self.layout = kind, vocab, max_length, lowercase, layout
        self._tokenizer = tokenizer and tokenizers.Tokenizer.from_str(json.dumps(tokenizer))

    def fit(self, raw) -> None:
        self._tokenizer, trainer = _untrained(self.kind, self.vocab, self.lowercase)
        texts = _decoded(raw)
        self._tokenizer.train_from_iterator(texts, trainer)
        if self.max_length is None:
            lengths = [len(encoding.ids) for encoding in self._tokenizer.encode_batch(texts)]
            self.max_length = int(min(max(np.percentile(lengths, 98), 1), _LONGEST))

    def encode(self, raw) -> np.ndarray:
        ids = np.zeros((len(raw), self.max_length), np.int32)
        for row, encoding in zip(ids, self._tokenizer.encode_batch(_decoded(raw)), strict=True):
            found = encoding.ids[: self.max_length]
            row[: len(found)] = found
        return ids

    def read(self, path: Path) -> list[str]:
        """Each line of a .txt; the text column of a .jsonl or delimited file that is laid out as the training file was."""
        return read_texts(path, Layout(**self.layout) if self.layout else None)

    def facts(self, values) -> dict:
        return {"vocab_size": self.vocab_size, "num_classes": self.vocab_size}  # of x; of y, whose classes are tokens

    @property
    def vocab_size(self) -> int:
        return self._tokenizer.get_vocab_size()

    @property
    def state(self) -> dict:
        given = {"kind": self.kind, "vocab": self.vocab, "max_length": self.max_length, "lowercase": self.lowercase}
        return {**given, "layout": self.layout, "tokenizer": json.loads(self._tokenizer.to_str())}


def _untrained(kind: str, vocab: int, lowercase: bool):
    """A tokenizer and what trains it. All kinds but "char" split at spaces and punctuation first."""
    options = dict(vocab_size=vocab, special_tokens=[PAD, UNKNOWN], show_progress=False)  # ids 0 and 1
    if kind in ("word", "char"):
        model, trainer = models.WordLevel(unk_token=UNKNOWN), trainers.WordLevelTrainer(**options)
    elif kind == "wordpiece":
        model, trainer = models.WordPiece(unk_token=UNKNOWN), trainers.WordPieceTrainer(**options, limit_alphabet=vocab // 2)
    else:
        end = "</w>"
        model = models.BPE(unk_token=UNKNOWN, end_of_word_suffix=end)
        trainer = trainers.BpeTrainer(**options, limit_alphabet=vocab // 2, end_of_word_suffix=end)
    tokenizer = tokenizers.Tokenizer(model)
    by_character = kind == "char"
    tokenizer.normalizer = normalizers.BertNormalizer(
        lowercase=lowercase, strip_accents=lowercase, handle_chinese_chars=not by_character
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated") if by_character else pre_tokenizers.BertPreTokenizer()
    return tokenizer, trainer


def _decoded(texts) -> list[str]:
    return [text.decode("utf-8") if isinstance(text, bytes) else str(text) for text in texts]
