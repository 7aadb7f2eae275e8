"""The sections of the campaign file that the trainer reads.

Model and training say what is fitted, search which alternatives are tried, evaluation how it is
judged, gate when it replaces the champion.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

from msgspec import Meta

from models import network_kinds
from stream.campaign.words import Duration, FieldPath, Name, PositiveInt, Section

OPTIMIZERS = ("adam", "adamw", "sgd", "rmsprop")
LOSSES = {
    "cross_entropy": "trainer.fitting.losses:cross_entropy",
    "focal": "trainer.fitting.losses:focal",
}
"""By name, where each is: a `trainer.fitting.losses.Kind`. A new loss is that, and a row here."""
if TYPE_CHECKING:
    Network: TypeAlias = str
    BuiltNetwork: TypeAlias = str
    Optimizer: TypeAlias = str
    Loss: TypeAlias = str
else:
    Network = Literal[network_kinds.NAMES]
    BuiltNetwork = Literal[network_kinds.BUILT]
    Optimizer = Literal[OPTIMIZERS]
    Loss = Literal[tuple(LOSSES)]
ClassWeights = Literal["none", "balanced"]
Metric = Literal["log_loss", "brier", "roc_auc", "pr_auc", "accuracy", "f1"]
Units = Annotated[int, Meta(ge=1, le=4096)]
Share = Annotated[float, Meta(ge=0, lt=1)]
Penalty = Annotated[float, Meta(gt=0, le=1e6)]
LearningRate = Annotated[float, Meta(gt=0, le=1)]


class ModelSpec(Section, frozen=True):
    """The network that the trainer fits and the registry that workers load from.

    Attributes:
        registry: A path or an fsspec URL.
        poll_interval_s: How often a worker looks for a new champion.
        score_ms_max: Longest time that scoring 512 customers may take; a slower model is refused by
            the gate and by workers.
        network: linear is the weighted sum of the features, mlp has hidden layers, dcn crosses
            features beside them, custom is built by `builder`.
        builder: `module:function` of a custom network, see docs/networks.md.
        head: choice is a share for each strategy, response the probability of the outcome with each.
        hidden: Units of each hidden layer; of mlp and dcn.
        activation: Of the hidden layers.
        dropout: Share of the hidden units that a training step leaves out.
        cross_layers: Cross layers of dcn.
        cross_rank: Rank of their matrices.
        bins: Pieces into which the values of each feature are cut for the head, which sees them beside what
            the network makes of all features; 0 for none. When not given: 8 for response, fewer of more
            than 64 features, and 0 for choice.
    """

    registry: str = "registry"
    poll_interval_s: Annotated[float, Meta(ge=0.1, le=3600)] = 5.0
    score_ms_max: Annotated[float, Meta(gt=0, le=10_000)] = 50.0
    network: Network = "mlp"
    builder: Annotated[
        str,
        Meta(
            pattern=r"^([A-Za-z_][\w.]*:[A-Za-z_]\w*)?$",
            description="module:function, such as my_company.networks:build",
        ),
    ] = ""
    head: Literal["choice", "response"] = "response"
    hidden: tuple[Units, ...] = (32,)
    activation: Literal["relu", "gelu", "tanh"] = "relu"
    dropout: Share = 0.0
    cross_layers: Annotated[int, Meta(ge=1, le=8)] = 2
    cross_rank: Annotated[int, Meta(ge=1, le=512)] = 16
    bins: Annotated[int, Meta(ge=0, le=64)] | None = None


class TrainingSpec(Section, frozen=True):
    """What the trainer learns from, and how.

    Attributes:
        learn_from: treatments are events that say a strategy was used on the customer; decisions are
            what workers published on the decision topic.
        treatment: Event type of a treatment.
        strategy_property: Path of the strategy id in a treatment event.
        propensity_property: Path of the probability with which that strategy was used, in a
            treatment event; a decision has its own.
        propensity_weights: Whether an example counts 1 / propensity. When not given: where the propensities
            are known and predict the outcome beyond the features, of a response.
        weight_max: Most that 1 / propensity counts: less is more precise, and wrong about those whom a
            strategy rarely reached.
        outcome: Event type that counts as a conversion.
        attribution_window: An outcome counts for treatments at most this long before it.
        decision_age_max: A treatment that comes later than this after the customer's last decision point is no
            example. When not given: the attribution window.
        history: How far before its newest record the history begins that is learned from. When not
            given: all that is there.
        warm_up: How long after a cut of the history examples are left out: until their features are
            about those that the worker has. When not given: none are, and it is told how many there
            are, since a topic that keeps a week would be left without any.
        examples_min: Examples of a strategy, in the part that is learned from, below which the policy
            does not choose it: the model could only guess.
        untreated_per_treated: Examples of doing nothing for each treatment, for a response head
            that learns from treatments which do not say when nothing was done.
        optimizer: Of Keras.
        learning_rate: Of the optimizer.
        loss: focal counts what is already right for less (Lin et al. 2017, section 3).
        focal_gamma: How much less.
        class_weights: balanced gives each strategy (choice) or both outcomes (response) the same
            weight; a response is calibrated only without. When not given: balanced for choice.
        shrinkage: How far the differences between strategies are drawn towards each other and towards none:
            evidence finds it from the examples, for each feature and strategy; fixed is what the penalties
            say. Of a response with the loss cross_entropy and without class weights; else fixed.
        l2: Penalty on every kernel, on the sum of the losses of all examples. When not given: 1 for
            response, 0 for choice.
        delta_l2: Further penalty on what sets the strategies of a response head apart. When not
            given: 8.
        epochs: Most passes over the examples.
        patience_epochs: Passes without a lower validation loss before training stops.
        batch_size: Examples of one step.
        validation_share: Share of the examples that decide when to stop, on the threshold and in
            the search: later ones than those that are learned from.
        test_share: Share of the examples that judge the result: the latest.
        refit: Whether what is published is fitted anew on all mature history, with the settings and the epochs
            of the model that was judged. Without: the judged one is published.
        seed: Of everything random.
        memory_mb: Bytes that the history may take in memory before it is kept on disk.
    """

    learn_from: Literal["treatments", "decisions"] = "treatments"
    treatment: str = "Strategy Sent"
    strategy_property: FieldPath = "properties.strategy"
    propensity_property: FieldPath | None = None
    propensity_weights: bool | None = None
    weight_max: Annotated[float, Meta(ge=1)] = 100.0
    outcome: str = "Order Completed"
    attribution_window: Duration = "14d"
    decision_age_max: Duration | None = None
    history: Duration | None = None
    warm_up: Duration | None = None
    examples_min: PositiveInt = 20
    untreated_per_treated: Annotated[float, Meta(ge=0, le=100)] = 3.0
    optimizer: Optimizer = "adam"
    learning_rate: LearningRate = 0.001
    loss: Loss = "cross_entropy"
    focal_gamma: Annotated[float, Meta(ge=0, le=10)] = 2.0
    class_weights: ClassWeights | None = None
    shrinkage: Literal["evidence", "fixed"] = "evidence"
    l2: Annotated[float, Meta(ge=0, le=1e6)] | None = None
    delta_l2: Annotated[float, Meta(ge=0, le=1e6)] | None = None
    epochs: Annotated[int, Meta(ge=1, le=10_000)] = 10
    patience_epochs: Annotated[int, Meta(ge=1, le=1000)] = 5
    batch_size: PositiveInt = 32
    validation_share: Share = 0.2
    test_share: Share = 0.2
    refit: bool = True
    seed: Annotated[int, Meta(ge=0, le=4_294_967_295)] = 0
    memory_mb: Annotated[int, Meta(ge=16, le=1 << 20)] = 512


class SearchSpec(Section, frozen=True):
    """What `opportune train --search` tries. Pairs are the least and the most.

    Attributes:
        trials: Most models to fit.
        time_budget: No further trial begins after this time.
        networks: Kinds of networks.
        layers: Hidden layers.
        units: Units of a hidden layer.
        cross_layers: Cross layers of dcn.
        dropout: Share of hidden units left out.
        optimizers: Optimizers.
        learning_rate: Learning rates, spread evenly over the orders of magnitude.
        losses: Losses.
        class_weights: Weightings.
        l2: Penalties on every kernel, spread like the learning rates.
        delta_l2: Further penalties on what sets the strategies of a response apart, likewise.
    """

    trials: Annotated[int, Meta(ge=1, le=10_000)] = 30
    time_budget: Duration = "10m"
    networks: Annotated[tuple[BuiltNetwork, ...], Meta(min_length=1)] = network_kinds.BUILT
    layers: tuple[Annotated[int, Meta(ge=1, le=8)], Annotated[int, Meta(ge=1, le=8)]] = (1, 3)
    units: Annotated[tuple[Units, ...], Meta(min_length=1)] = (16, 32, 64, 128)
    cross_layers: tuple[Annotated[int, Meta(ge=1, le=8)], Annotated[int, Meta(ge=1, le=8)]] = (1, 3)
    dropout: tuple[Share, Share] = (0.0, 0.5)
    optimizers: Annotated[tuple[Optimizer, ...], Meta(min_length=1)] = OPTIMIZERS
    learning_rate: tuple[LearningRate, LearningRate] = (1e-4, 1e-2)
    losses: Annotated[tuple[Loss, ...], Meta(min_length=1)] = tuple(LOSSES)
    class_weights: Annotated[tuple[ClassWeights, ...], Meta(min_length=1)] = ("none", "balanced")
    l2: tuple[Penalty, Penalty] = (0.1, 30.0)
    delta_l2: tuple[Penalty, Penalty] = (1.0, 300.0)


class SliceSpec(Section, frozen=True):
    """A group of customers that is judged on its own.

    Attributes:
        name: Its name in the report.
        conditions: As those of a strategy: feature, operator, number; all have to hold.
    """

    name: Name
    conditions: Annotated[tuple[str, ...], Meta(min_length=1)]


class EvaluationSpec(Section, frozen=True):
    """How a model is judged.

    Attributes:
        resamples: Bootstrap resamples of the customers behind every interval.
        confidence: Share of the resamples inside an interval.
        slices: Groups that are judged on their own, beside the strategies.
        rfm: Features of the recency-frequency-monetary rule that models are compared with. When not
            given: the first of recency, of count and of sum.
    """

    resamples: Annotated[int, Meta(ge=50, le=10_000)] = 500
    confidence: Annotated[float, Meta(ge=0.5, lt=1)] = 0.95
    slices: tuple[SliceSpec, ...] = ()
    rfm: tuple[str, str, str] | None = None


class GateSpec(Section, frozen=True):
    """When a new model replaces the champion.

    Attributes:
        metric: What it has to be better in, beyond the interval of the difference.
        margin: By how much at least.
        calibration_rise_max: How much the calibration error may rise, as a share of the mean outcome
            rate: at 0.1 predictions of 5 % may be off by 0.5 points more than before.
        slice_tolerance: How much worse, in `metric`, it may be in a slice, beyond the interval.
        slice_rows_min: A slice with fewer test examples is shown and decides nothing.
        bundle_mb_max: Largest bundle.
        unproven: What becomes of a model of which decisions cannot show that its policy earns money: hold
            keeps the champion, promote asks the metric alone, and says so.
        money_margin: By how much more than the best constant strategy, and than the champion, it has to
            earn per decision, in the unit of the values, the whole interval above.
    """

    metric: Metric = "log_loss"
    margin: Annotated[float, Meta(ge=0)] = 0.0
    calibration_rise_max: Annotated[float, Meta(ge=0, le=1)] = 0.1
    slice_tolerance: Annotated[float, Meta(ge=0)] = 0.0
    slice_rows_min: Annotated[int, Meta(ge=1)] = 100
    bundle_mb_max: Annotated[float, Meta(gt=0, le=1024)] = 50.0
    unproven: Literal["hold", "promote"] = "hold"
    money_margin: Annotated[float, Meta(ge=0)] = 0.0
