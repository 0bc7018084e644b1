"""A user's own network, named by its import path."""

import importlib
import inspect
from typing import Any

import msgspec
import torch
from torch import nn

from recfunnel.core.errors import StudyError
from recfunnel.core.features import FeatureSchema
from recfunnel.core.model import ModelCost
from recfunnel.core.spec import Spec
from recfunnel.core.storage import content_hash
from recfunnel.models.base import ModelSpec, models
from recfunnel.models.vectors import feature_bytes


@models.register
class Module(Spec, ModelSpec, frozen=True, tag="module"):
    """Any `torch.nn.Module` that is called as `RankingModel.forward` is.

    That is `module(context, items, columns, given)`, returning finite scores (Q, C). One that
    derives from `RankingModel` has its item part cached in serving, any other is called whole.
    The class is called with `arguments`, and with `schema` and `num_score_inputs` if it has
    parameters of these names.

    Args:
        path: `package.module:Class`, importable where the study runs.
        arguments: keyword arguments of the class.
        flops_per_item: work for each candidate; None counts 2 FLOPs for every parameter outside
            `nn.Embedding` and `nn.EmbeddingBag`: exact for a chain of linear layers applied to
            every candidate, only an indication for anything else.
        read_bytes_per_item: embedding and feature bytes read for each candidate; None counts the
            features alone.
    """

    path: str
    arguments: dict[str, Any] = {}  # noqa: RUF012 - msgspec copies the default
    flops_per_item: float | None = None
    read_bytes_per_item: float | None = None

    def __post_init__(self) -> None:
        module, colon, name = self.path.partition(":")
        if not (module and colon and name):
            raise StudyError(f"module path {self.path!r} must look like 'package.module:Class'")

    def __hash__(self) -> int:
        return hash(content_hash(msgspec.to_builtins(self)))

    def build(self, schema: FeatureSchema, num_score_inputs: int = 0) -> nn.Module:
        """A new instance of the class.

        Raises:
            StudyError: it cannot be imported, refuses the arguments, or is no `nn.Module`.
        """
        factory = self._imported()
        offered = {"schema": schema, "num_score_inputs": num_score_inputs}
        try:
            wanted = inspect.signature(factory).parameters
            extra = {k: v for k, v in offered.items() if k in wanted and k not in self.arguments}
            module = factory(**extra, **self.arguments)
        except (TypeError, ValueError) as error:
            raise StudyError(f"{self.path!r} refuses its arguments: {error}") from error
        if not isinstance(module, nn.Module):
            raise StudyError(f"{self.path!r} made a {type(module).__name__}, not an nn.Module")
        return module

    def cost(self, schema: FeatureSchema, num_score_inputs: int = 0) -> ModelCost:
        """What is stated, else an indication; parameters are counted on torch's meta device.

        Raises:
            StudyError: the network cannot be built there.
        """
        try:
            with torch.device("meta"):
                module = self.build(schema, num_score_inputs)
        except (RuntimeError, NotImplementedError) as error:
            raise StudyError(
                f"{self.path!r} cannot be built on torch's meta device, where its parameters are "
                f"counted without allocating them ({error}); do not read values while building"
            ) from error
        flops, read = self.flops_per_item, self.read_bytes_per_item
        return ModelCost(
            flops_per_query=0.0,
            flops_per_item=2.0 * _num_dense_parameters(module) if flops is None else flops,
            read_bytes_per_item=float(feature_bytes(schema, "candidate", ()))
            if read is None
            else read,
            parameter_bytes=sum(tensor.nbytes for tensor in module.state_dict().values()),
        )

    def _imported(self) -> Any:
        path, _, name = self.path.partition(":")
        try:
            return getattr(importlib.import_module(path), name)
        except ImportError as error:
            raise StudyError(
                f"cannot import {path!r} for the model {self.path!r}: {error}; "
                "install it, or set PYTHONPATH to the folder it lies in"
            ) from error
        except AttributeError as error:
            raise StudyError(
                f"{path!r} has no {name!r}, named by the model {self.path!r}"
            ) from error


def _num_dense_parameters(module: nn.Module) -> int:
    tables = (nn.Embedding, nn.EmbeddingBag)
    return sum(
        parameter.numel()
        for part in module.modules()
        if not isinstance(part, tables)
        for parameter in part.parameters(recurse=False)
    )
