"""The models that decided, as far as the registry still has them."""

from __future__ import annotations

from functools import cache

import msgspec

from models.bundle import Bundle
from models.contract import FeatureContract, Normalization
from models.errors import BundleError, RegistryError
from models.registry import Registry
from stream.policy.decision import NO_MODEL
from trainer.errors import TrainingError
from trainer.parity.causes import Cause


class Bundles:
    """Says whose decisions can be compared, and with which normalization.

    Args:
        registry: Where the models are.
        contract: The features of the campaign file.

    Attributes:
        codes: Numbers for the names of models and contracts. Readers of decisions add to them.
    """

    def __init__(self, registry: Registry, contract: FeatureContract) -> None:
        self.codes: dict[str, int] = {}
        self._registry = registry
        self._contract = contract
        self._load = cache(self._load_once)

    def name(self, code: int) -> str:
        """The name of a code."""
        return next(name for name, known in self.codes.items() if known == code)

    def cause(self, model: int, contract: int) -> Cause | None:
        """Why decisions by a model on a feature contract cannot be compared; None when they can."""
        if self.name(model) == NO_MODEL:
            return None if self.name(contract) == self._contract.digest else Cause.OTHER_CONTRACT
        bundle = self._load(self.name(model))
        if bundle is None:
            known = self.name(contract) == self._contract.digest
            return Cause.MODEL_UNKNOWN if known else Cause.OTHER_CONTRACT
        theirs = bundle.manifest.contract
        if self.name(contract) == theirs.digest == self._contract.digest:
            return None
        version = self._contract.kernel_version
        same = msgspec.structs.replace(theirs, kernel_version=version) == self._contract
        return Cause.OTHER_KERNEL if same else Cause.OTHER_CONTRACT

    def normalization(self, model: int) -> Normalization:
        """The constants of a model whose decisions can be compared; there are none without a model."""
        if self.name(model) == NO_MODEL:
            return Normalization.identity(len(self._contract.names))
        bundle = self._load(self.name(model))
        assert bundle is not None, "the cause is asked first"
        return bundle.normalization

    def _load_once(self, version: str) -> Bundle | None:
        try:
            return self._registry.load(version)
        except (BundleError, RegistryError):
            return None
        except OSError as exc:
            raise TrainingError(
                f"expected to read the model registry {self._registry.url}, got {exc}. Name it with "
                "--registry or OPPORTUNE_REGISTRY"
            ) from exc
