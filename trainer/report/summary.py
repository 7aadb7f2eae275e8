"""The result in sentences, for people who decide and do not read tables.

Rules of this file
1. "Better" and "worse" are said only where the whole interval is on one side.
2. What the numbers do not say is said too.
"""

from __future__ import annotations

from trainer.evaluation.baselines import BASE_RATE
from trainer.evaluation.evaluation import CANDIDATE, CHAMPION, Estimate, Evaluation, Group
from trainer.report import wording
from trainer.report.facts import Facts

_FEW_POSITIVES = 50
_METRIC = "log_loss"
_LIFT = "lift_top_10_percent"
_SMALL = 1e-12

_NOT_CAUSES = "They do not say what a strategy causes. "
_RANDOMISED = (
    "Chance decided who got which strategy, so strategies can be compared; but a good prediction of "
    "who converts is not yet a good choice of whom to contact."
)
_NOT_RANDOMISED = (
    "Who got which strategy was not left to chance: customers with one strategy may differ from "
    "those with another in ways that have nothing to do with it. A customer who is likely to convert "
    "may do so without being contacted."
)
_ONLY_WHAT_WAS_DONE = (
    "Only what was done can be judged. What other strategies would have led to is not in the data."
)
_ONLY_CONVERSIONS = (
    "Only cases that ended with a conversion are judged. Whether a customer should be contacted at "
    "all is not asked."
)
_WHAT_INTERVALS_COVER = (
    "Intervals say how much the numbers would vary with other customers of the same kind. They do "
    "not cover other periods, nor another training of the same model."
)


def sentences(evaluation: Evaluation, facts: Facts) -> list[str]:
    """What was judged, and what came out."""
    everything = [
        *facts.money,
        _judged(evaluation, facts),
        _unseen(evaluation),
        *(
            _against(one, name)
            for one, name in (
                (evaluation.beside_champion, CHAMPION),
                (evaluation, _best_rule(evaluation)),
            )
            if one is not None and name in one.all.gains
        ),
        _accuracy(evaluation) if evaluation.head == "choice" else _ranking(evaluation),
        _calibration(evaluation),
    ]
    return [sentence for sentence in everything if sentence]


def ranked_group(evaluation: Evaluation) -> Group:
    """Where a ranking of customers matters: among those that were contacted.

    That customers who are left alone differ from the others is easy to tell and of no use.
    """
    return next((g for g in evaluation.of_kind("pooled") if g.name == "contacted"), evaluation.all)


def compared(evaluation: Evaluation) -> Evaluation:
    """What differences are shown of: that with the champion, where there is one."""
    return evaluation.beside_champion or evaluation


def reference(evaluation: Evaluation) -> str | None:
    """What differences are shown against: the champion, else the best of the rules."""
    return CHAMPION if CHAMPION in evaluation.models else _best_rule(evaluation)


def caveats(evaluation: Evaluation, facts: Facts) -> list[str]:
    """What the numbers do not say."""
    few = [
        f"{group.name} ({wording.whole(group.positives)})"
        for group in evaluation.of_kind("strategy")
        if group.positives < _FEW_POSITIVES
    ]
    found = [
        _NOT_CAUSES + (_RANDOMISED if facts.randomised else _NOT_RANDOMISED),
        _ONLY_WHAT_WAS_DONE,
        _of_their_time(evaluation),
        _WHAT_INTERVALS_COVER,
    ]
    if evaluation.head == "choice":
        found.append(_ONLY_CONVERSIONS)
    if few:
        found.append(
            f"Strategies with fewer than {_FEW_POSITIVES} conversions here say little on their "
            f"own: {', '.join(few)}."
        )
    if evaluation.beside_champion is None:
        found.append("There is no current model that could be compared with.")
    return found


def _judged(evaluation: Evaluation, facts: Facts) -> str:
    group = evaluation.all
    what = (
        f"The new model was judged on {wording.whole(group.rows)} cases of "
        f"{wording.whole(group.customers)} customers{_period(evaluation)}. It has learned from none of "
        "them."
    )
    if evaluation.head == "choice":
        return f"{what} Each ended with a conversion; the model had to name the strategy."
    outcome = f'"{facts.outcome}"' if facts.outcome else "a conversion"
    within = (
        f" within {wording.duration(facts.attribution_window)}" if facts.attribution_window else ""
    )
    share = wording.percent(group.positives / group.rows)
    return (
        f"{what} In {share} of the cases {outcome} followed{within}; the model had to say how "
        "likely that was."
    )


def _unseen(evaluation: Evaluation) -> str:
    """Where the champion stands beside the model, when that is not everywhere."""
    if evaluation.unseen is None:
        return ""
    rows, all_rows = (wording.whole(one.all.rows) for one in (evaluation.unseen, evaluation))
    return (
        f"The new model and the current one are compared on {rows} of these {all_rows} cases: from the "
        "others, or from what came of them, the current one has learned."
    )


def _period(evaluation: Evaluation) -> str:
    """When the cases were, in how many days; how they were chosen where they have no times."""
    start, end = evaluation.start, evaluation.end
    if start is None or end is None:
        return ", chosen by a hash of the customer"
    days = max(1, round((end - start).total_seconds() / 86_400))
    return f" in {wording.whole(days)} days, {wording.date(start)} to {wording.date(end)}"


def _of_their_time(evaluation: Evaluation) -> str:
    start, end = evaluation.start, evaluation.end
    when = "one time"
    if start is not None and end is not None:
        when = f"{wording.date(start)} to {wording.date(end)}"
    return f"The cases are of {when}. Other seasons, offers or prices may differ."


def _against(evaluation: Evaluation, other: str) -> str:
    gain = evaluation.all.gains[other].get(_METRIC)
    before = evaluation.all.metrics[other].get(_METRIC)
    if gain is None or before is None:
        return ""
    name = wording.model_name(other)
    name = f"the {name}" if other == CHAMPION else f"the best of the simpler ways ({name})"
    verdict = {
        1: f"It predicts better than {name}",
        0: f"It is not clearly better or worse than {name}",
        -1: f"It predicts worse than {name}",
    }[wording.clearly(gain)]
    return f"{verdict}: {_change(gain, before)}{_range(evaluation, gain, before)}."


def _change(gain: Estimate, before: Estimate) -> str:
    share = wording.percent(abs(gain.value) / max(before.value, _SMALL))
    return f"its log loss is {share} {'lower' if gain.value >= 0 else 'higher'}"


def _range(evaluation: Evaluation, gain: Estimate, before: Estimate) -> str:
    if gain.low is None or gain.high is None:
        return ""
    low, high = (wording.percent(end / max(before.value, _SMALL)) for end in (gain.low, gain.high))
    sure = f"{100 * evaluation.confidence:.3g}"
    return f" ({sure} % interval of the improvement: {low} to {high})"


def _best_rule(evaluation: Evaluation) -> str | None:
    losses = {
        name: metrics[_METRIC].value
        for name, metrics in evaluation.all.metrics.items()
        if name not in {CANDIDATE, CHAMPION} and _METRIC in metrics
    }
    return min(losses, key=losses.__getitem__) if losses else None


def _accuracy(evaluation: Evaluation) -> str:
    found = evaluation.all.metrics
    most_common = found.get(BASE_RATE, {}).get("accuracy")
    return (
        f"It names the right strategy in {wording.value('accuracy', found[CANDIDATE]['accuracy'])} "
        "of the cases"
        + (
            f"; always naming the most common one is right in "
            f"{wording.value('accuracy', most_common)}."
            if most_common
            else "."
        )
    )


def _ranking(evaluation: Evaluation) -> str:
    group = ranked_group(evaluation)
    lift = group.metrics[CANDIDATE].get(_LIFT)
    if lift is None:
        return ""
    others = [
        f"{wording.model_name(name)} {wording.value(_LIFT, metrics[_LIFT])}"
        for name, metrics in group.metrics.items()
        if name != CANDIDATE and _LIFT in metrics
    ]
    where = "contacted customers" if group.name == "contacted" else "cases"
    return (
        f"The tenth of the {where} that it ranks highest holds "
        f"{wording.percent(0.1 * lift.value)} of the conversions, "
        f"{wording.value(_LIFT, lift)} as many as an average tenth"
        + (f" ({', '.join(others)})." if others else ".")
    )


def _calibration(evaluation: Evaluation) -> str:
    group = ranked_group(evaluation)
    found = group.metrics[CANDIDATE]
    if "predicted_rate" not in found or "calibration_error" not in found:
        return ""
    return (
        f"On average it expects {wording.percent(found['predicted_rate'].value)} and "
        f"{wording.percent(found['observed_rate'].value)} happened; over groups of similar "
        f"predictions the two differ by {wording.points(found['calibration_error'].value)}."
    )
