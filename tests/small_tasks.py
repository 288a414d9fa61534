"""Tasks of every kind in a few lines over tiny nets: what the mechanism must carry. B rows, T steps, D features."""

import math

import keras
import numpy as np
from keras import layers, ops

from modelzoo.layers import Networks
from trainers.tasks import Objective, Task
from trainers.tasks.derivative import derivative

SIZE, LATENT, VOCABULARY, STEPS = 6, 3, 7, 5


def net(name: str, inputs, outputs: int, *, activation="tanh", width: int = 8, **options) -> keras.Model:
    """[B, inputs] -> [B, outputs], every variable's path beginning with the name."""
    with keras.name_scope(name):
        hidden = layers.Dense(width, activation=activation, **options)
        return keras.Sequential([keras.Input((inputs,)), hidden, layers.Dense(outputs)], name=name)


def sigmoid_losses(logits, is_real: bool):
    return ops.softplus(-logits[:, 0] if is_real else logits[:, 0])


class _Vectors(Task):
    """x [B, SIZE], no y."""

    def example_batch(self, model, rng, size=18):
        return {
            "x": rng.normal(size=(size, SIZE)).astype("float32"),
            "y": np.zeros(size, np.int32),
            "w": np.ones(size, "float32"),
        }


# Two players -----------------------------------------------------------------------------------------------------------


class Discriminator(Objective):
    name = "d"

    def trains(self, model):
        return model.discriminator.trainable_variables

    def prepare(self, batch, noise, *, training):
        return {**batch, "z": noise.normal(LATENT)}

    def forward(self, model, batch, *, training):
        fake = model.generator(batch["z"], training=training)
        return model.discriminator(batch["x"], training=training), model.discriminator(fake, training=training)

    def losses(self, batch, outputs):
        return sigmoid_losses(outputs[0], True) + sigmoid_losses(outputs[1], False)


class Generator(Objective):
    name = "g"

    def trains(self, model):
        return model.generator.trainable_variables

    def prepare(self, batch, noise, *, training):
        return {**batch, "z": noise.normal(LATENT)}

    def forward(self, model, batch, *, training):
        return model.discriminator(model.generator(batch["z"], training=training), training=training)

    def losses(self, batch, outputs):
        return sigmoid_losses(outputs, True)


class Gan(_Vectors):
    """Radford et al. 2016, DCGAN: two objectives, fresh noise for each."""

    directions = {"g/loss": "min", "d/loss": "min"}
    monitor = None  # neither loss says which images are better
    objectives = (Discriminator(), Generator())

    @staticmethod
    def build():
        return Networks(generator=net("generator", LATENT, SIZE), discriminator=net("discriminator", SIZE, 1))


class Critic(Discriminator):
    name, updates = "critic", 3

    def prepare(self, batch, noise, *, training):
        return {**batch, "z": noise.normal(LATENT), "u": noise.uniform(1)}

    def forward(self, model, batch, *, training):
        fake = model.generator(batch["z"], training=training)
        between = batch["u"] * batch["x"] + (1 - batch["u"]) * fake
        slope = derivative(lambda x: model.discriminator(x, training=training), between)
        real, false = (model.discriminator(x, training=training)[:, 0] for x in (batch["x"], fake))
        return false - real, ops.sqrt(ops.sum(ops.square(slope), axis=-1) + 1e-12)

    def losses(self, batch, outputs):
        return outputs[0] + 10.0 * ops.square(outputs[1] - 1.0)


class WassersteinGenerator(Generator):
    def losses(self, batch, outputs):
        return -outputs[:, 0]


class WassersteinGan(Gan):
    """Gulrajani et al. 2017, Improved training of Wasserstein GANs: a gradient in the loss, several updates of the critic."""

    directions = {"g/loss": "min", "critic/loss": "min"}
    objectives = (Critic(), WassersteinGenerator())


# Noise -----------------------------------------------------------------------------------------------------------------


class Vae(_Vectors):
    """Kingma & Welling 2014: the loss is reconstruction and KL, in nats."""

    def prepare(self, batch, noise, *, training):
        return {**batch, "noise": noise.normal(LATENT)}

    def forward(self, model, batch, *, training):
        mean, log_variance = ops.split(model.encoder(batch["x"], training=training), 2, axis=-1)
        return model.decoder(mean + ops.exp(log_variance / 2) * batch["noise"], training=training), mean, log_variance

    def losses(self, batch, outputs):
        mean, log_variance = outputs[1:]
        kl = 0.5 * ops.sum(ops.square(mean) + ops.exp(log_variance) - 1 - log_variance, axis=-1)
        return 0.5 * ops.sum(ops.square(batch["x"] - outputs[0]), axis=-1) + kl

    @staticmethod
    def build():
        return Networks(encoder=net("encoder", SIZE, 2 * LATENT), decoder=net("decoder", LATENT, SIZE))


class Diffusion(_Vectors):
    """Ho et al. 2020, DDPM: the noise that was added is predicted, at a random time."""

    def prepare(self, batch, noise, *, training):
        time = (ops.cast(noise.integers(10, 1), "float32") + 0.5) / 10
        added = noise.normal(SIZE)
        x = ops.cos(time * math.pi / 2) * batch["x"] + ops.sin(time * math.pi / 2) * added
        return {**batch, "x": ops.concatenate([x, time], axis=-1), "added": added}

    def losses(self, batch, outputs):
        return ops.mean(ops.square(outputs - batch["added"]), axis=-1)

    @staticmethod
    def build():
        return net("denoiser", SIZE + 1, SIZE)


# Sequences -------------------------------------------------------------------------------------------------------------


def language_model(outputs: int = VOCABULARY) -> keras.Model:
    tokens = keras.Input((STEPS,), dtype="int32")
    x = layers.Embedding(VOCABULARY + 1, 8)(tokens)
    x = layers.MultiHeadAttention(2, 4)(x, x, use_causal_mask=True)
    return keras.Model(tokens, layers.Dense(outputs)(x))


def token_losses(y, logits):
    return ops.sparse_categorical_crossentropy(y, logits, from_logits=True)


class NextToken(Task):
    """A weight for each token, [B, T]; padding weighs 0."""

    def losses(self, batch, outputs):
        return token_losses(batch["y"], outputs)

    @staticmethod
    def build():
        return language_model()

    def example_batch(self, model, rng, size=18):
        text = rng.integers(0, VOCABULARY, (size, STEPS + 1)).astype(np.int32)
        w = (np.arange(STEPS) < rng.integers(1, STEPS + 1, (size, 1))).astype("float32")
        return {"x": text[:, :-1], "y": text[:, 1:], "w": w}


class MaskedToken(NextToken):
    """Devlin et al. 2019, BERT: `prepare` hides tokens and says which ones count."""

    def prepare(self, batch, noise, *, training):
        hidden = noise.uniform(STEPS) < 0.4
        x = ops.where(hidden, VOCABULARY, batch["x"])
        return {**batch, "x": x, "y": batch["x"], "w": batch["w"] * ops.cast(hidden, "float32")}


class EncoderDecoder(NextToken):
    """x is a dict: the source, and the target as it is known."""

    @staticmethod
    def build():
        inputs = {name: keras.Input((STEPS,), dtype="int32", name=name) for name in ("source", "target")}
        source, target = (layers.Embedding(VOCABULARY, 8)(inputs[name]) for name in ("source", "target"))
        x = layers.Concatenate()([target, layers.MultiHeadAttention(2, 4)(target, source)])
        return keras.Model(inputs, layers.Dense(VOCABULARY)(x))

    def example_batch(self, model, rng, size=18):
        batch = super().example_batch(model, rng, size)
        source = rng.integers(0, VOCABULARY, (size, STEPS)).astype(np.int32)
        return {**batch, "x": {"source": source, "target": batch["x"]}}


class Ctc(Task):
    """Graves et al. 2006: labels [B, 2] for T steps of vectors, class 0 is the blank."""

    def losses(self, batch, outputs):
        rows = ops.shape(outputs)[0]
        lengths, label_lengths = (ops.full((rows,), n, dtype="int32") for n in (STEPS, 2))
        return ops.ctc_loss(batch["y"], outputs, label_lengths, lengths, mask_index=0)

    @staticmethod
    def build():
        return keras.Sequential(
            [keras.Input((STEPS, SIZE)), layers.LSTM(4, return_sequences=True, use_cudnn=False), layers.Dense(4)]
        )

    def example_batch(self, model, rng, size=18):
        x = rng.normal(size=(size, STEPS, SIZE)).astype("float32")
        return {"x": x, "y": rng.integers(1, 4, (size, 2)).astype(np.int32), "w": np.ones(size, "float32")}


# Images and labels of other shapes ---------------------------------------------------------------------------------------


class Segmentation(Task):
    """y [B, H, W]: the class of each pixel, -1 for none."""

    def losses(self, batch, outputs):
        known = ops.cast(batch["y"] >= 0, "float32")
        losses = known * token_losses(ops.maximum(batch["y"], 0), outputs)
        return ops.sum(losses, axis=(1, 2)) / ops.maximum(ops.sum(known, axis=(1, 2)), 1.0)

    @staticmethod
    def build():
        down, up = layers.Conv2D(4, 3, 2, "same", activation="tanh"), layers.Conv2DTranspose(3, 3, 2, "same")
        return keras.Sequential([keras.Input((4, 4, 1)), down, up])

    def example_batch(self, model, rng, size=18):
        x = rng.normal(size=(size, 4, 4, 1)).astype("float32")
        return {"x": x, "y": rng.integers(-1, 3, (size, 4, 4)).astype(np.int32), "w": np.ones(size, "float32")}


class Detection(Task):
    """Up to 3 boxes an image, padded. Two terms: kinds count for every slot, boxes where there is one."""

    terms = ("kind", "box")
    directions = {"loss": "min", "loss/kind": "min", "loss/box": "min"}

    def losses(self, batch, outputs):
        kinds, boxes = ops.split(ops.reshape(outputs, (-1, 3, 3 + 4)), [3], axis=-1)
        errors = ops.mean(ops.abs(boxes - batch["y"]["box"]), axis=-1)
        return {"kind": token_losses(batch["y"]["kind"], kinds), "box": errors}

    @staticmethod
    def build():
        return net("detector", SIZE, 3 * 7)

    def example_batch(self, model, rng, size=18):
        kind = rng.integers(0, 3, (size, 3)).astype(np.int32)  # 0 is the background
        y = {"kind": kind, "box": rng.random((size, 3, 4)).astype("float32")}
        w = {"kind": np.ones((size, 3), "float32"), "box": (kind > 0).astype("float32")}
        return {"x": rng.normal(size=(size, SIZE)).astype("float32"), "y": y, "w": w}


class MultiLabel(Task):
    """y [B, C] of 0 and 1."""

    def losses(self, batch, outputs):
        return ops.mean(ops.binary_crossentropy(ops.cast(batch["y"], "float32"), outputs, from_logits=True), axis=-1)

    @staticmethod
    def build():
        return net("net", SIZE, 4)

    def example_batch(self, model, rng, size=18):
        x = rng.normal(size=(size, SIZE)).astype("float32")
        return {"x": x, "y": rng.integers(0, 2, (size, 4)).astype(np.int32), "w": np.ones(size, "float32")}


class Ordinal(Task):
    """Cao et al. 2020, CORAL: C - 1 thresholds of one score; y [B] from 0 to C - 1."""

    def losses(self, batch, outputs):
        above = ops.cast(batch["y"][:, None] > ops.arange(3)[None], "float32")
        return ops.sum(ops.softplus(outputs) - above * outputs, axis=-1)

    @staticmethod
    def build():
        return net("net", SIZE, 3)

    def example_batch(self, model, rng, size=18):
        x = rng.normal(size=(size, SIZE)).astype("float32")
        return {"x": x, "y": rng.integers(0, 4, size).astype(np.int32), "w": np.ones(size, "float32")}


# Several examples at once ------------------------------------------------------------------------------------------------


def contrastive_losses(a, b, w, scale):
    """Of each a against all b, both ways (Radford et al. 2021); what weighs nothing is nobody's negative."""
    a, b = (v / ops.sqrt(ops.sum(ops.square(v), axis=-1, keepdims=True) + 1e-6) for v in (a, b))
    logits = scale[:, None] * ops.matmul(a, ops.transpose(b)) + ops.where(w > 0, 0.0, -1e9)[None]
    back = scale[:, None] * ops.matmul(b, ops.transpose(a)) + ops.where(w > 0, 0.0, -1e9)[None]
    places = ops.arange(ops.shape(a)[0])
    return 0.5 * (token_losses(places, logits) + token_losses(places, back))


class Scale(layers.Layer):
    """One learned number for every row."""

    def build(self, input_shape):
        self.log_scale = self.add_weight(shape=(), initializer=keras.initializers.Constant(1.0), name="log_scale")

    def call(self, x):
        return ops.exp(self.log_scale) * ops.ones_like(x[:, 0])


class Clip(Task):
    """Radford et al. 2021: two towers and a learned temperature."""

    across = True

    def forward(self, model, batch, *, training):
        image, text = batch["x"]["image"], batch["x"]["text"]
        return model.image(image, training=training), model.text(text, training=training), model.scale(image)

    def losses(self, batch, outputs):
        a, b, scale = outputs
        return contrastive_losses(a, b, batch["w"], scale)

    @staticmethod
    def build():
        inputs = keras.Input((SIZE,))
        scale = keras.Model(inputs, Scale(name="temperature")(inputs))
        return Networks(image=net("image", SIZE, 4), text=net("text", SIZE, 4), scale=scale)

    def example_batch(self, model, rng, size=18):
        image, text = rng.normal(size=(2, size, SIZE)).astype("float32")
        return {"x": {"image": image, "text": text}, "y": np.zeros(size, np.int32), "w": np.ones(size, "float32")}


class SimClr(_Vectors):
    """Chen et al. 2020: two views of each example, made by noise."""

    across = True

    def prepare(self, batch, noise, *, training):
        views = [batch["x"] + 0.3 * noise.normal(SIZE) for _ in range(2)]
        return {**batch, "x": ops.stack(views, axis=1)}  # [B, 2, D]

    def forward(self, model, batch, *, training):
        return [model(batch["x"][:, i], training=training) for i in range(2)]

    def losses(self, batch, outputs):
        return contrastive_losses(*outputs, batch["w"], ops.ones_like(batch["w"]) / 0.5)

    @staticmethod
    def build():
        return net("encoder", SIZE, 4)


# Other networks that lead ------------------------------------------------------------------------------------------------


class Distill(_Vectors):
    """Hinton et al. 2015: a frozen teacher, which is read and never written."""

    def __init__(self, spec=None):
        super().__init__(spec)
        self.teacher = net("teacher", SIZE, 4)
        self.frozen = (self.teacher,)

    def forward(self, model, batch, *, training):
        return model(batch["x"], training=training), ops.softmax(self.teacher(batch["x"], training=False))

    def losses(self, batch, outputs):
        return ops.categorical_crossentropy(outputs[1], outputs[0], from_logits=True)

    @staticmethod
    def build():
        return net("student", SIZE, 4, width=4)


class Byol(_Vectors):
    """Grill et al. 2020: a target network follows the online one."""

    def follows(self, model):
        return [(v, leader, 0.9) for v, leader in zip(model.target.weights, model.online.weights, strict=True)]

    def prepare(self, batch, noise, *, training):
        return {**batch, "view": batch["x"] + 0.3 * noise.normal(SIZE)}

    def forward(self, model, batch, *, training):
        return model.predictor(model.online(batch["x"])), ops.stop_gradient(model.target(batch["view"]))

    def losses(self, batch, outputs):
        return ops.mean(ops.square(outputs[0] - outputs[1]), axis=-1)

    @staticmethod
    def build():
        target = net("target", SIZE, 4)
        target.trainable = False
        return Networks(online=net("online", SIZE, 4), predictor=net("predictor", 4, 4), target=target)


TASKS = {
    task.__name__: task
    for task in (
        Gan, WassersteinGan, Vae, Diffusion, NextToken, MaskedToken, EncoderDecoder, Ctc, Segmentation, Detection, MultiLabel,
        Ordinal, Clip, SimClr, Distill, Byol,
    )
}  # fmt: skip
