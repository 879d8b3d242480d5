"""Encoders by name, one table a kind."""

from medmm.encoders.bag_of_words import BagOfWords
from medmm.encoders.base import ImageEncoderSettings, SignalEncoderSettings, TabularEncoderSettings, TextEncoderSettings
from medmm.encoders.cnn_lstm import CNNLSTM
from medmm.encoders.convolutional import DenseNet121, EfficientNetB0, I3ResNet152, ResNet18, ResNet50
from medmm.encoders.ft_transformer import FTTransformer
from medmm.encoders.huggingface_image import HuggingFaceImage
from medmm.encoders.huggingface_text import HuggingFaceText
from medmm.encoders.mlp import MLP
from medmm.encoders.patch_transformer import PatchTransformer
from medmm.encoders.recurrent import Recurrent
from medmm.encoders.resnet1d import ResNet1D
from medmm.encoders.rocket import Rocket
from medmm.encoders.spectrogram_cnn import SpectrogramCNN
from medmm.encoders.swin import Swin
from medmm.encoders.text_transformer import TextTransformer
from medmm.encoders.vit import VisionTransformer
from medmm.tables import Table

IMAGE_ENCODERS: Table[type[ImageEncoderSettings]] = Table(
    "image encoder",
    {
        "densenet121": DenseNet121,
        "resnet18": ResNet18,
        "resnet50": ResNet50,
        "i3_resnet152": I3ResNet152,
        "efficientnet": EfficientNetB0,
        "vit": VisionTransformer,
        "swin": Swin,
        "huggingface": HuggingFaceImage,
    },
)

TABULAR_ENCODERS: Table[type[TabularEncoderSettings]] = Table(
    "tabular encoder",
    {
        "ft_transformer": FTTransformer,
        "mlp": MLP,
    },
)

TEXT_ENCODERS: Table[type[TextEncoderSettings]] = Table(
    "text encoder",
    {
        "transformer": TextTransformer,
        "recurrent": Recurrent,
        "bag_of_words": BagOfWords,
        "huggingface": HuggingFaceText,
    },
)

SIGNAL_ENCODERS: Table[type[SignalEncoderSettings]] = Table(
    "signal encoder",
    {
        "resnet1d": ResNet1D,
        "cnn_lstm": CNNLSTM,
        "spectrogram_cnn": SpectrogramCNN,
        "patch_transformer": PatchTransformer,
        "rocket": Rocket,
    },
)
