"""Encoders by name, one table a kind."""

from medmm.encoders.base import ImageEncoderSettings, TabularEncoderSettings, TextEncoderSettings
from medmm.encoders.convolutional import DenseNet121, ResNet18
from medmm.encoders.ft_transformer import FTTransformer
from medmm.encoders.huggingface_text import HuggingFaceText
from medmm.encoders.text_transformer import TextTransformer
from medmm.encoders.vit import VisionTransformer
from medmm.tables import Table

IMAGE_ENCODERS: Table[type[ImageEncoderSettings]] = Table(
    "image encoder",
    {
        "densenet121": DenseNet121,
        "resnet18": ResNet18,
        "vit": VisionTransformer,
    },
)

TABULAR_ENCODERS: Table[type[TabularEncoderSettings]] = Table(
    "tabular encoder",
    {
        "ft_transformer": FTTransformer,
    },
)

TEXT_ENCODERS: Table[type[TextEncoderSettings]] = Table(
    "text encoder",
    {
        "transformer": TextTransformer,
        "huggingface": HuggingFaceText,
    },
)
