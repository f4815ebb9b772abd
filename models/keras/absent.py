"""Names of Keras that are not here, and what is written in their place."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable
from typing import Any

IMAGES = "unspool's layers are for sequences; for images use Keras or PyTorch"
OWN_LOSS = "write it as a function of (y_true, y_pred) with keras.ops, as in compile(loss=f)"
OWN_METRIC = "write it as a function of (y_true, y_pred), as in compile(metrics=[f])"
COUNTS = "use Precision, Recall, or unspool.models.confusion"
ABSENT: dict[str, dict[str, str]] = {
    "keras": {
        "mixed_precision": "train in float32, and leave it out",
        "wrappers": "unspool.models.Acceptor has predict and probabilities of its own",
        "distribution": "go on in PyTorch by unspool.models.to_torch",
        "export": "write unspool.cells.save_onnx(model, path) for a network of unspool.models",
    },
    "layers": {
        "Conv2D": IMAGES,
        "Conv2DTranspose": IMAGES,
        "Conv3D": IMAGES,
        "ConvLSTM1D": IMAGES,
        "ConvLSTM2D": IMAGES,
        "MaxPooling2D": IMAGES,
        "AveragePooling2D": IMAGES,
        "GlobalAveragePooling2D": IMAGES,
        "GlobalMaxPooling2D": IMAGES,
        "UpSampling1D": "use Lambda(lambda x: np.repeat(x, 2, axis=1))",
        "UpSampling2D": IMAGES,
        "SeparableConv1D": "use Conv1D",
        "DepthwiseConv1D": "use Conv1D",
        "Conv1DTranspose": "use Lambda(lambda x: np.repeat(x, 2, axis=1)), and Conv1D",
        "Cropping1D": "use Lambda(lambda x: x[:, 1:-1])",
        "PReLU": "use LeakyReLU, or a layer of your own with add_weight",
        "ThresholdedReLU": "use ReLU",
        "ActivityRegularization": "use kernel_regularizer=",
        "AlphaDropout": "use Dropout",
        "GaussianDropout": "use Dropout or GaussianNoise",
        "GroupNormalization": "use LayerNormalization",
        "UnitNormalization": "use Lambda with keras.ops",
        "Normalization": "subtract mean and divide by deviation in NumPy, before fit",
        "Rescaling": "multiply in NumPy, before fit",
        "StringLookup": "use TextVectorization, or unspool.models.Vocabulary",
        "IntegerLookup": "use unspool.models.Vocabulary",
        "CategoryEncoding": "use keras.utils.to_categorical",
        "Hashing": "use unspool.models.Vocabulary",
        "GroupQueryAttention": "use MultiHeadAttention",
        "StackedRNNCells": "use one RNN layer above the other, with return_sequences=True",
        "Wrapper": "write a Layer of your own that calls another one",
        "EinsumDense": "use Dense, or Lambda with keras.ops.einsum",
        "Discretization": "use np.digitize, before fit",
        "Identity": 'use Activation("linear")',
    },
    "callbacks": {
        "TensorBoard": "use CSVLogger, or the History that fit returns",
        "RemoteMonitor": "use LambdaCallback",
        "ProgbarLogger": "fit prints a line for each epoch; use LambdaCallback for more",
        "BackupAndRestore": "use ModelCheckpoint, or unspool.models.fit(checkpoint=)",
        "SwapEMAWeights": "average state_dict() in a callback of your own",
    },
    "losses": {
        **dict.fromkeys(
            ("BinaryFocalCrossentropy", "CategoricalFocalCrossentropy"),
            "use BinaryCrossentropy or CategoricalCrossentropy with class_weight= of fit",
        ),
        **dict.fromkeys(("CategoricalHinge", "Dice", "Tversky", "Circle"), OWN_LOSS),
        "CTC": "there is none; for labels of each position use SparseCategoricalCrossentropy",
    },
    "metrics": {
        **dict.fromkeys(
            ("TruePositives", "TrueNegatives", "FalsePositives", "FalseNegatives"), COUNTS
        ),
        "FBetaScore": "use F1Score, Precision and Recall",
        **dict.fromkeys(
            ("MeanIoU", "IoU", "R2Score", "MatthewsCorrelationCoefficient", "CohenKappa"),
            OWN_METRIC,
        ),
        **dict.fromkeys(("LogCoshError", "Hinge", "SquaredHinge", "CategoricalHinge"), OWN_METRIC),
        **dict.fromkeys(
            (
                *("PrecisionAtRecall", "RecallAtPrecision"),
                *("SensitivityAtSpecificity", "SpecificityAtSensitivity"),
            ),
            "use AUC, Precision and Recall",
        ),
    },
    "optimizers": {
        **dict.fromkeys(("Ftrl", "Lion", "Lamb", "Muon"), "use Adam or AdamW"),
        "Adafactor": "use Adam: it saves memory of models larger than those here",
        "LossScaleOptimizer": "train in float32, and leave it out",
        "legacy": "use the optimisers of keras.optimizers",
    },
    "schedules": {
        "CosineDecayRestarts": "use CosineDecay, or LearningRateScheduler with a function of yours",
    },
    "utils": {
        "text_dataset_from_directory": "use unspool.models.load_folder(path)",
        "get_file": "use unspool.models.download(url, path, sha256)",
        "image_dataset_from_directory": IMAGES,
        "split_dataset": "use validation_split= of fit, or unspool.models.hold_out",
    },
    "sequence": {
        **dict.fromkeys(
            ("skipgrams", "make_sampling_table"),
            "take pretrained vectors by unspool.models.load_vectors",
        ),
    },
}


def absent(module: str) -> Callable[[str], Any]:
    """The ``__getattr__`` of a module: a name of Keras that it lacks raises with the cure.

    Args:
        module: The module's ``__name__``.
    """
    cures = ABSENT[module.rpartition(".")[2]]

    def missing(name: str) -> Any:
        if name in cures:
            raise ImportError(f"{module} has no {name}: {cures[name]}")
        message = f"module {module!r} has no attribute {name!r}"
        known = [word for word in vars(sys.modules[module]) if not word.startswith("_")]
        close = [] if name.startswith("_") else difflib.get_close_matches(name, known, 1)
        raise AttributeError(f"{message}; did you mean {close[0]}?" if close else message)

    return missing
