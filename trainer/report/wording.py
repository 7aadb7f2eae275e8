"""Numbers as people read them: rounded to what is known of them, with units and signs."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from trainer.evaluation.baselines import BASE_RATE, RFM
from trainer.evaluation.evaluation import CANDIDATE, CHAMPION, Estimate

_MINUS = "\N{MINUS SIGN}"
_DASH = "\N{EN DASH}"
_PERCENT = "\N{NO-BREAK SPACE}%"
_POINTS = "\N{NO-BREAK SPACE}pp"
_TIMES = "\N{MULTIPLICATION SIGN}"
_PLACES_MAX = 6

_MODELS = {
    CANDIDATE: "new model",
    CHAMPION: "current model",
    "linear": "linear model",
    RFM: "RFM rule",
    BASE_RATE: "base rates",
}
_UNITS = {"ms": "millisecond", "s": "second", "m": "minute", "h": "hour", "d": "day", "w": "week"}


@dataclass(frozen=True, slots=True)
class Word:
    """How a metric is called, shown and explained.

    Attributes:
        label: Its name.
        meaning: One sentence.
        places: Decimals of a value without an interval.
        unit: Of a value.
        gain_unit: Of a difference.
    """

    label: str
    meaning: str
    places: int = 3
    unit: str = ""
    gain_unit: str = ""

    @property
    def scale(self) -> float:
        """What a value is multiplied with to be shown in its unit."""
        return 100.0 if self.unit == _PERCENT else 1.0


def _share(label: str, meaning: str) -> Word:
    return Word(label, meaning, 1, _PERCENT, _POINTS)


def _ratio(label: str, meaning: str) -> Word:
    return Word(label, meaning, 2, _TIMES, _TIMES)


METRIC_WORDS = {
    "log_loss": Word("Log loss", "Surprise at what happened, in nats a case: what the model is trained to lower. Lower is better.", 4),
    "brier": Word("Brier score", "Mean squared error of the predicted probabilities. Lower is better.", 4),
    "roc_auc": Word("ROC AUC", "Chance that a case with a conversion scores above one without; 0.5 is guessing, 1 is perfect."),
    "pr_auc": Word("PR AUC", "Average precision: precision over all levels of recall. Guessing gives the share of conversions."),
    "accuracy": _share("Accuracy", "Share of the cases that are predicted rightly."),
    "precision": _share("Precision", "Of the conversions that are predicted, the share that happens."),
    "recall": _share("Recall", "Of the conversions that happen, the share that is predicted."),
    "f1": Word("F1", "Harmonic mean of precision and recall."),
    "lift_top_10_percent": _ratio("Lift, top 10 %", "Conversions among the tenth with the highest scores, as a multiple of those in an average tenth."),
    "calibration_error": _share("Calibration error", "Mean distance between predicted and observed rate, over bins of equal size (ECE). Lower is better."),
    "calibration_ratio": _ratio("Predicted / observed", "Predicted over observed conversions; 1 is right."),
    "predicted_rate": _share("Predicted rate", "Mean predicted probability."),
    "observed_rate": _share("Observed rate", "Share of the cases with a conversion."),
}  # fmt: skip


def percent(share: float) -> str:
    """A share: 12.3 %, small ones with two significant digits."""
    return _decimals(100 * share, max(1, _digits(100 * share))) + _PERCENT


def points(share: float) -> str:
    """A difference of shares, in words."""
    return percent(share).removesuffix(_PERCENT) + " percentage points"


def whole(count: float) -> str:
    """A count, with thousands separators."""
    return f"{count:,.0f}"


def date(time: datetime) -> str:
    """A day: 3 March 2024."""
    return f"{time.day}\N{NO-BREAK SPACE}{time:%B %Y}"


def duration(text: str) -> str:
    """A duration of the campaign file in words: "14d" is 14 days."""
    match = re.fullmatch(r"(\d+)([a-z]+)", text)
    assert match is not None, text
    return f"{match[1]} {_UNITS[match[2]]}{'' if match[1] == '1' else 's'}"


def model_name(name: str) -> str:
    """How a model is called within a sentence."""
    return _MODELS.get(name, name)


def heading(name: str) -> str:
    """How a model is called at the beginning."""
    words = model_name(name)
    return words[:1].upper() + words[1:]


def value(metric: str, estimate: Estimate, places: int | None = None) -> str:
    """A metric, with as many decimals as its interval supports unless they are given."""
    word = METRIC_WORDS[metric]
    return _decimals(word.scale * estimate.value, _or(places, metric, estimate)) + word.unit


def interval(metric: str, estimate: Estimate, places: int | None = None) -> str:
    """Its interval, empty when there is none."""
    if estimate.low is None or estimate.high is None:
        return ""
    word, places = METRIC_WORDS[metric], _or(places, metric, estimate)
    low, high = (_decimals(word.scale * end, places) for end in (estimate.low, estimate.high))
    return f"{low}{_DASH}{high}{word.unit}"


def gain(metric: str, estimate: Estimate, places: int | None = None) -> str:
    """A difference with its sign."""
    word, places = METRIC_WORDS[metric], _or(places, metric, estimate)
    return _signed(word.scale * estimate.value, places) + word.gain_unit


def gain_interval(metric: str, estimate: Estimate, places: int | None = None) -> str:
    """The interval of a difference, empty when there is none."""
    if estimate.low is None or estimate.high is None:
        return ""
    word, places = METRIC_WORDS[metric], _or(places, metric, estimate)
    low, high = (_signed(word.scale * end, places) for end in (estimate.low, estimate.high))
    return f"{low} to {high}"


def places_of(metric: str, estimates: Iterable[Estimate]) -> int:
    """Decimals for numbers that stand side by side: as many as the surest supports."""
    return max((_places(METRIC_WORDS[metric], one) for one in estimates), default=0)


def clearly(estimate: Estimate) -> int:
    """1 when the whole interval is above 0, -1 when below, else 0."""
    if estimate.low is None or estimate.high is None:
        return 0
    return int(estimate.low > 0) - int(estimate.high < 0)


def _places(word: Word, estimate: Estimate) -> int:
    """Decimals: the first digit of half the interval, and one more where that digit is 1."""
    if estimate.low is None or estimate.high is None:
        return word.places
    half = word.scale * (estimate.high - estimate.low) / 2
    if half < 10.0**-_PLACES_MAX:
        return word.places
    exponent = math.floor(math.log10(half))
    return min(max(int(half < 2 * 10.0**exponent) - exponent, 0), _PLACES_MAX)


def _or(places: int | None, metric: str, estimate: Estimate) -> int:
    return _places(METRIC_WORDS[metric], estimate) if places is None else places


def _digits(number: float) -> int:
    """Decimals that show two digits of a number."""
    return min(1 - math.floor(math.log10(abs(number))), _PLACES_MAX) if number else 0


def _signed(number: float, places: int) -> str:
    text = _decimals(number, places)
    return text if text.startswith(_MINUS) or not float(text.replace(",", "")) else f"+{text}"


def _decimals(number: float, places: int) -> str:
    text = f"{abs(number):,.{places}f}"
    return _MINUS + text if number < 0 and float(text.replace(",", "")) else text
