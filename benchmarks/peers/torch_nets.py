"""The workloads' nets in PyTorch, layer for layer. B batch, T steps, D embed_dim, F features, C classes.

Modules are declared in the order of the Keras models' layers, so that weights can be copied one after the other.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.peers.resnet import BLOCKS, WIDTHS


def mlp(input_shape, **_) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(input_shape), 128), nn.ReLU(), nn.Linear(128, 10))


def mnist_cnn(*, dropout: float = 0.25, dropout_dense: float = 0.5, **_) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(dropout), nn.Flatten(),
        nn.Linear(9216, 128), nn.ReLU(), nn.Dropout(dropout_dense), nn.Linear(128, 10),
    )  # fmt: skip


def cifar10_cnn(**_) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(64, 128, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(512, 128), nn.ReLU(), nn.Linear(128, 10),
    )  # fmt: skip


class LSTM(nn.Module):
    def __init__(self, input_shape, **_) -> None:
        super().__init__()
        self.lstm, self.logits = nn.LSTM(input_shape[-1], 128, batch_first=True), nn.Linear(128, 10)
        nn.init.zeros_(self.lstm.bias_hh_l0)  # PyTorch has a second bias, Keras has not: it stays 0
        self.lstm.bias_hh_l0.requires_grad_(False)

    def forward(self, x):
        return self.logits(self.lstm(x)[0][:, -1])


class Block(nn.Module):
    """Pre-norm encoder block: [B, T, D] -> [B, T, D]."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.norm_1, self.qkv, self.project = nn.LayerNorm(width), nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.norm_2, self.wide, self.narrow = nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x, mask):
        split = self.qkv(self.norm_1(x)).unflatten(-1, (3, self.num_heads, -1))  # [B, T, 3, heads, D / heads]
        query, key, value = split.permute(2, 0, 3, 1, 4)
        found = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        x = x + self.project(found.transpose(1, 2).flatten(2))
        return x + self.narrow(F.gelu(self.wide(self.norm_2(x))))


class Transformer(nn.Module):
    def __init__(self, input_shape, vocab_size, *, embed_dim=128, depth=2, num_heads=4, **_) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, embed_dim)
        self.blocks = nn.ModuleList([Block(embed_dim, num_heads) for _ in range(depth)])
        self.norm, self.logits = nn.LayerNorm(embed_dim), nn.Linear(embed_dim, 10)
        position, feature = torch.arange(input_shape[0])[:, None], torch.arange(embed_dim)[None]
        angles = position / 10_000 ** (feature // 2 * 2 / embed_dim)
        self.register_buffer("positions", torch.where(feature % 2 == 0, angles.sin(), angles.cos()))  # [T, D]

    def forward(self, tokens):
        is_token = tokens != 0
        is_token = is_token | ~is_token.any(1, keepdim=True)
        x = self.embedding(tokens) * math.sqrt(self.embedding.embedding_dim) + self.positions
        for block in self.blocks:
            x = block(x, is_token[:, None, None])
        weight = is_token[..., None].to(x.dtype)
        return self.logits((self.norm(x) * weight).sum(1) / weight.sum(1))


def _conv_norm(channels: int, filters: int, size: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, filters, size, stride, size // 2, bias=False), nn.BatchNorm2d(filters))


class Residual(nn.Module):
    def __init__(self, channels: int, filters: int, stride: int) -> None:
        super().__init__()
        self.shortcut = nn.Identity() if channels == filters else _conv_norm(channels, filters, 1, stride)
        self.first, self.second = _conv_norm(channels, filters, 3, stride), _conv_norm(filters, filters, 3)

    def forward(self, x):
        return F.relu(self.second(F.relu(self.first(x))) + self.shortcut(x))


def resnet18(**_) -> nn.Module:
    blocks, channels = [], WIDTHS[0]
    for stage, width in enumerate(WIDTHS):
        for i in range(BLOCKS):
            blocks.append(Residual(channels, width, 2 if stage and not i else 1))
            channels = width
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10)]
    return nn.Sequential(_conv_norm(3, WIDTHS[0], 3), nn.ReLU(), *blocks, *head)


_NETS = {
    "mlp": mlp, "mnist_cnn": mnist_cnn, "cifar10_cnn": cifar10_cnn, "benchmarks.peers.resnet:resnet18": resnet18,
    "lstm": LSTM, "transformer": Transformer,
}  # fmt: skip


def make_net(model: dict) -> nn.Module:
    """The twin of the Keras model that modelzoo.create_model makes of these arguments. Images are [B, channels, H, W]."""
    return _NETS[model["name"]](**{key: value for key, value in model.items() if key != "name"})
