"""Chain-thaw: fine-tuning a trained model layer by layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ...autograd import Parameter
from ...cells import Module
from .loop import fit
from .optim import Adam, Optimizer
from .report import History
from .tasks import Task


def chain_thaw(
    model: Module,
    layers: Mapping[str, Module],
    task: Task,
    *,
    rate: float = 1e-3,
    next_rate: float = 1e-4,
    optimizer: Callable[[list[Parameter], float], Optimizer] = Adam,
    **options: Any,
) -> dict[str, History]:
    """Fine-tune a trained model: its new head first, then one layer at a time, then all.

    In each stage the parameters of the other layers are frozen. Parameters that were frozen before
    stay so, and afterwards every parameter is frozen or not as before.

    Args:
        model: A Module that fits the task.
        layers: Its layers by name, lowest first, the new head last.
        task: As in ``fit``.
        rate: The learning rate of the first stage, that of the head.
        next_rate: The learning rate of the later stages.
        optimizer: From parameters and a rate to the optimiser of a stage.
        **options: Those of ``fit`` except ``checkpoint``, which belongs to one training. With
            ``validation`` each stage ends with its best parameters.

    Returns:
        The history of each stage by name, in order; the last one is "all".

    Source: Felbo et al. (2017), section 3.3.

    Example:
        >>> from unspool.models import DeepMoji, Labelled, chain_thaw
        >>> model = DeepMoji(20, 2, d=4, cells=3, rng=0)
        >>> task = Labelled([[4, 5, 6], [7, 8]], [0, 1], rng=0)
        >>> list(chain_thaw(model, model.chain(), task, epochs=1, progress=False))
        ['head', 'embedding', 'layers.0', 'layers.1', 'pool', 'all']
    """
    if not layers or "all" in layers:
        raise ValueError(
            "chain_thaw: layers are the model's by name, the head last, none of them named "
            f'"all", got {", ".join(layers) or "none"}'
        )
    if "checkpoint" in options:
        raise ValueError("chain_thaw: a checkpoint belongs to one training, and these are several")
    trained = [p for p in model.parameters() if p.requires_grad]
    stages: dict[str, list[Parameter]] = {}
    *below, head = layers
    for name in (head, *below):
        own = layers[name].parameters()
        if not set(own) <= set(model.parameters()):
            raise ValueError(f"chain_thaw: {name} holds parameters that are not the model's")
        stages[name] = [p for p in trained if p in set(own)]
    stages["all"] = trained
    histories = {}
    try:
        for stage, (name, parameters) in enumerate(stages.items()):
            if not parameters:
                continue  # the whole layer was frozen
            model.freeze()
            for parameter in parameters:
                parameter.requires_grad = True
            learner = optimizer(parameters, next_rate if stage else rate)
            histories[name] = fit(model, task, learner, **options)
    finally:
        model.freeze()
        for parameter in trained:
            parameter.requires_grad = True
    return histories
