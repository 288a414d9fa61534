"""Several networks as one model."""

import keras


@keras.saving.register_keras_serializable("modelzoo")
class Networks(keras.Model):
    """Networks that are built, trained, saved and loaded as one: a generator and a discriminator, two towers, a target network.

        model = Networks(generator=generator, discriminator=discriminator)
        model.generator(z)

    Calling the model calls its first network. To tell variables of several networks by their paths, build each within
    `keras.name_scope("generator")`.
    """

    def __init__(self, *, name: str | None = None, trainable: bool = True, dtype=None, **networks: keras.Model) -> None:
        super().__init__(name=name, trainable=trainable, dtype=dtype)
        if not networks:
            raise ValueError("Networks needs at least one network. Received: none")
        self.names = list(networks)
        for attribute, network in networks.items():
            setattr(self, attribute, network)
        self.built = True

    def call(self, x, training=None):
        return getattr(self, self.names[0])(x, training=training)

    def get_config(self) -> dict:
        networks = {name: keras.saving.serialize_keras_object(getattr(self, name)) for name in self.names}
        return {"name": self.name, **networks}

    @classmethod
    def from_config(cls, config: dict) -> "Networks":
        networks = {key: keras.saving.deserialize_keras_object(value) for key, value in config.items() if key != "name"}
        return cls(name=config["name"], **networks)
