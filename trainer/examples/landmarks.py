"""What comes of doing nothing, where nobody logs it: decision points that were left alone so far.

A treatment comes some time after its decision point: at that age somebody chose it for this customer, and
left others alone. So the other arm begins at the same age of other decision points, the landmark, and both
arms are chosen by what was known then (Anderson, Cain and Gelber 1983, "Analysis of survival by tumor
response", J. Clin. Oncol. 1; van Houwelingen 2007, "Dynamic prediction by landmarking"; for the treated
each their risk set, Li, Propert and Rosenbaum 2001, "Balanced risk set matching"). It emulates the trial
that would have drawn who is contacted at that moment (Hernan and Robins 2016, "Using big data to emulate
a target trial", Am. J. Epidemiol. 183). A reminder after a day to those who have not bought stands beside
those who after a day have not bought either; counted from the decision point, who bought at once would pass
for a success of doing nothing.

At its landmark an untreated example is like the treated one that it stands beside:
- the decision point is still the customer's last,
- an outcome has followed it or not,
- a contact lies within one attribution window before or not,
and no contact is made at that moment.

Rules of this file
1. Pure: columns in, columns out; chance by the generator that is passed.
2. Nothing after the landmark puts an example in or out. Who is contacted later stays, and the outcome counts
   from the landmark (intention to treat): it is what comes of not contacting now. How many were contacted
   later is counted, since a contact soon after blurs what the arms tell of.
3. Of equals each is as likely to be taken, as often as it stands for: one may be taken several times.

This makes the arms alike in what is named above, and in nothing else. Who chose whom to contact by something
else has to be in the features, or in the log: that is what "observational" means.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from stream.columns import Bools, Int64s
from trainer.examples.axis import Axis, History, any_between
from trainer.examples.chance import NOT_SAID
from trainer.examples.labels import Examples, JoinCounts
from trainer.history.gaps import Extent
from trainer.replay.actions import Actions

_ROUNDS = 40
"""How often a place is drawn for again: of what one in ten fits, 1 in 70 finds nobody."""
_EVER_MS = 2**61


class Slots(NamedTuple):
    """n untreated examples that are looked for.

    Attributes:
        age_ms: Of the decision point at the landmark. Shape (n,), int64.
        bought: Whether an outcome has followed the decision point. Shape (n,), bool.
        recent: Whether a contact lies within one window before. Shape (n,), bool.
    """

    age_ms: Int64s
    bought: Bools
    recent: Bools

    def take(self, index: Int64s) -> Slots:
        """Some of them."""
        return Slots(self.age_ms[index], self.bought[index], self.recent[index])


def untreated(
    history: History,
    treatments: Actions,
    treated: Examples,
    nothing: int,
    window_ms: int,
    extent: Extent,
    per_treated: float,
    random: np.random.Generator,
) -> tuple[Examples, JoinCounts]:
    """Examples of doing nothing beside those of treatments.

    Args:
        history: The events.
        treatments: All treatments among them; those of a strategy that is not known are contacts, too.
        treated: The examples of some of them.
        nothing: Index of doing nothing.
        window_ms: Attribution window.
        extent: How far the history goes.
        per_treated: How many for each treated one.
        random: Chooses.

    Returns:
        Their propensity is NaN: nobody said it.
    """
    axis = Axis(history, window_ms, extent)
    pool = _Pool(history, axis, treatments.event[treatments.strategy != nothing], window_ms)
    beside = np.lexsort((treated.strategy, treated.time_ms, treated.event))
    beside = beside[treated.strategy[beside] != nothing]
    whom = _places(beside, per_treated, random)
    found, place = pool.draw(pool.of_treated(treated.take(whom)), random)
    there = found >= 0
    point, place = found[there], place[there]
    m = len(point)
    examples = Examples(
        event=point,
        strategy=np.full(m, nothing),
        propensity=np.full(m, np.nan),
        held_out=np.zeros(m, np.bool_),
        possible=np.full(m, NOT_SAID),
        beside=treated.strategy[whom[there]],
        time_ms=axis.clock_ms(point) + place - axis.clock[point],
        outcome=axis.converted(place),
        sent=np.zeros(m, np.bool_),
    )
    return examples, JoinCounts(
        untreated=m,
        untreated_points=len(np.unique(point)),
        contacted_later=int(any_between(pool.contacts, place + 1, place + window_ms).sum()),
        unmatched=len(np.setdiff1d(whom, whom[there])),
    )


def _places(beside: Int64s, per_treated: float, random: np.random.Generator) -> Int64s:
    """Beside which of the treated each untreated one stands: as many beside each as can be."""
    whole, size = int(per_treated), round(per_treated * len(beside))
    more = random.choice(beside, size - whole * len(beside), replace=False)
    return np.concatenate([np.repeat(beside, whole), more])


class _Pool:
    """The decision points of a history, by how long each was the last of its customer.

    Attributes:
        contacts: Places of the contacts, rising. int64.
    """

    def __init__(self, history: History, axis: Axis, contacts: Int64s, window_ms: int) -> None:
        self.contacts = np.sort(axis.clock[contacts])
        self._axis, self._window_ms = axis, window_ms
        points = np.flatnonzero(history.decides)
        points = points[np.argsort(axis.clock[points], kind="stable")]
        last_ms = np.full(len(points), _EVER_MS)
        if len(points):
            followed = np.flatnonzero(np.diff(history.row[points]) == 0)
            last_ms[followed] = np.diff(axis.clock[points])[followed]
        # Of equals by their place in the history: the numbers of customers depend on what was read first.
        order = np.lexsort((points, last_ms))
        self._points, self._last_ms = points[order], last_ms[order]

    def of_treated(self, treated: Examples) -> Slots:
        """Whom to look for beside some treated examples."""
        place = self._axis.place(treated.event, treated.time_ms)
        age_ms = place - self._axis.clock[treated.event]
        return Slots(age_ms, self._bought(place, age_ms), self._recent(place))

    def draw(self, slots: Slots, random: np.random.Generator) -> tuple[Int64s, Int64s]:
        """A decision point for each slot, -1 where none was found; and the place of its landmark."""
        point = np.full(len(slots.age_ms), -1)
        place = np.zeros(len(point), np.int64)
        first = np.searchsorted(self._last_ms, slots.age_ms, side="right")
        open_ = np.flatnonzero(first < len(self._points))
        for _ in range(_ROUNDS):
            if len(open_) == 0:
                break
            drawn = random.integers(first[open_], len(self._points))
            some = self._points[drawn]
            at = self._axis.clock[some] + slots.age_ms[open_]
            fits = self._fits(some, at, slots.take(open_))
            point[open_[fits]], place[open_[fits]] = some[fits], at[fits]
            open_ = open_[~fits]
        return point, place

    def _fits(self, point: Int64s, place: Int64s, slots: Slots) -> Bools:
        axis = self._axis
        time_ms = axis.clock_ms(point) + slots.age_ms
        # A window that is not over may reach into another customer, so that nothing else of it holds.
        fits = axis.mature(time_ms) & axis.known(time_ms)
        fits &= ~axis.unread(time_ms) & ~axis.untold(time_ms)
        fits &= ~axis.cold(point)
        fits &= self._bought(place, slots.age_ms) == slots.bought
        fits &= self._recent(place) == slots.recent
        return fits & ~any_between(self.contacts, place, place)

    def _bought(self, place: Int64s, age_ms: Int64s) -> Bools:
        return any_between(self._axis.outcomes, place - age_ms + 1, place)

    def _recent(self, place: Int64s) -> Bools:
        return any_between(self.contacts, place - self._window_ms, place - 1)
