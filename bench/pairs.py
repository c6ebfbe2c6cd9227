# SPDX-License-Identifier: MIT
"""pairs.py - the cost of profiles: compares runs with them on and off, pair by pair.

A figure is the median over the pairs. Its 95 % interval goes from one order statistic to another,
so it supposes nothing about the distribution of the noise."""
import math
import statistics

FEWEST = 6  # pairs, for an interval
HELD = (0.95, 1.05)  # the least and the largest share of the known waits that a profile may have


def column(samples, pair, side, metric):
    """A value a run; [] if a run failed."""
    results = samples.get((side, pair.case, pair.procs), [])
    return [r[metric][0] for r in results] if all(metric in r for r in results) else []


def interval(values):
    """Where the median is with a probability of at least 95 %: k values of n are below it, or
    above it, as often as k of n coins are heads. Takes FEWEST or more."""
    n, k, outside = len(values), 0, 0.5 ** len(values)
    while outside <= 0.025:
        k += 1
        outside += math.comb(n, k) * 0.5 ** n
    ordered = sorted(values)
    return ordered[k - 1], ordered[n - k]


def on_and_off(pair, samples, program):
    return list(zip(column(samples, pair, f"{program} {pair.rates}", pair.case),
                    column(samples, pair, f"{program} {pair.off}", pair.case)))


def added(pair, samples, program):
    return [on - off for on, off in on_and_off(pair, samples, program)]


def ratios(pair, samples):
    return [on / off for on, off in on_and_off(pair, samples, "weft")]


def held(pair, samples):
    """The shares of the known waits that the profiles had; 1 is all."""
    return [share for metric in pair.holds
            for share in column(samples, pair, f"weft {pair.rates}", metric)]


def excess(pair, samples):
    """The median divided by its target; infinite when there is no figure, or when a profile did not
    have the known waits."""
    measured = ratios(pair, samples)
    shares = [column(samples, pair, f"weft {pair.rates}", metric) for metric in pair.holds]
    if not measured or not all(shares) \
            or not all(HELD[0] <= share <= HELD[1] for share in held(pair, samples)):
        return math.inf
    if pair.of_go:
        go = added(pair, samples, "go")
        bound = pair.of_go * statistics.median(go) if go else 0
        return statistics.median(added(pair, samples, "weft")) / bound if bound > 0 else math.inf
    if pair.adds:
        return statistics.median(added(pair, samples, "weft")) / pair.events / pair.adds
    if pair.or_none and interval(measured)[0] <= 1:
        return 1
    return statistics.median(measured) / pair.at_most


def figure(values, form):
    if not values:
        return "failed"
    low, high = interval(values)
    return f"{form % statistics.median(values)} [{form % low}..{form % high}]"


def middle(values):
    return f"{statistics.median(values):.4g}" if values else "failed"


def cells(pair, samples):
    weft, go = (on_and_off(pair, samples, program) for program in ("weft", "go"))
    shares = held(pair, samples)
    over = excess(pair, samples)
    return (pair.row, str(pair.procs), pair.rates, pair.unit,
            middle([off for _, off in weft]), middle([on for on, _ in weft]),
            figure(ratios(pair, samples), "%.3f"), figure(added(pair, samples, "weft"), "%.3g"),
            figure(added(pair, samples, "go"), "%.3g") if pair.of_go else "-",
            f"{min(shares):.3f}..{max(shares):.3f}" if shares else "-",
            pair.target(), "ok" if over <= 1 else f"miss x{over:.2f}")


def table(pairs, samples):
    yield ("work", "P", "rates", "unit", "off", "on", "on / off [95 %]", "added [95 %]",
           "Go's added [95 %]", "of known waits", "to reach", "verdict")
    for pair in pairs:
        yield cells(pair, samples)
