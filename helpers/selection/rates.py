"""Pass rates from a few samples: shrunk towards the pool by a beta prior, and what they predict for a group of rollouts.

A question with 1 of 16 right answers rarely has a pass rate of 1/16: in a pool of hard questions it is more likely a harder question
with one lucky answer. The usual correction is empirical Bayes: the beta prior of the pool plus the question's own counts. SciPy takes a
second to import, so it is imported where it is used.
"""

import numpy as np
import pandas as pd

RATES = ("pass_rate", "pass_rate_shrunk", "posterior_a", "posterior_b")  # columns of `difficulty.by_question`
BOUNDS = (-7.0, 7.0)  # of the logarithms of a and b, so that pools without spread or without right answers have a fit


def fit_prior(right: np.ndarray, samples: np.ndarray) -> tuple[float, float]:
    """The beta distribution (a, b) of the pass rates of a pool, by maximum likelihood of the beta-binomial counts.

    right, samples: right answers and answers of each question, shape (questions,). Source: Griffiths (1973), Biometrics 29, 637–648.
    """
    from scipy.optimize import minimize, root
    from scipy.special import digamma
    from scipy.stats import betabinom

    counts = pd.DataFrame({"right": right, "samples": samples}).value_counts().reset_index(name="questions")
    right, samples, questions = (counts[name].to_numpy() for name in ("right", "samples", "questions"))

    def loss(logs: np.ndarray) -> float:
        return -float((questions * betabinom.logpmf(right, samples, *np.exp(logs))).sum()) / questions.sum()

    def slope(logs: np.ndarray) -> np.ndarray:  # of `loss`
        a, b = np.exp(logs)
        both = digamma(a + b) - digamma(samples + a + b)
        each = np.array([a * (digamma(right + a) - digamma(a) + both), b * (digamma(samples - right + b) - digamma(b) + both)])
        return -(each * questions).sum(axis=1) / questions.sum()

    # The minimiser stops after six digits, and which ones depends on the processor. A pool without spread has its fit at BOUNDS, where the slope is not 0.
    near = minimize(loss, np.zeros(2), method="L-BFGS-B", jac=slope, bounds=[BOUNDS, BOUNDS]).x
    exact = root(slope, near, tol=1e-13)
    inside = np.abs(exact.fun).max() < 1e-12 and np.abs(exact.x - near).max() < 0.01
    a, b = np.exp(exact.x if inside else near)
    return float(a), float(b)


def shrink(right: pd.Series, samples: pd.Series) -> pd.DataFrame:
    """The posterior of each question's pass rate: columns pass_rate_shrunk (its mean), posterior_a and posterior_b; index as given.
    NaN where questions were answered once: one answer each does not say how pass rates differ."""
    a, b = fit_prior(right.to_numpy(), samples.to_numpy()) if (samples > 1).any() else (np.nan, np.nan)
    above, below = right + a, samples - right + b
    return pd.DataFrame({"pass_rate_shrunk": above / (above + below), "posterior_a": above, "posterior_b": below})


def zero_variance(a: np.ndarray, b: np.ndarray, rollouts: int) -> np.ndarray:
    """Chance that all `rollouts` answers are right, or all wrong, for pass rates distributed as Beta(a, b): E[pᴳ + (1 − p)ᴳ].

    It concerns the accuracy reward; rewards for the format may still differ.

    >>> float(zero_variance(np.array([1.0]), np.array([1.0]), 3)[0].round(3))
    0.5
    """
    from scipy.special import betaln

    return np.exp(betaln(a + rollouts, b) - betaln(a, b)) + np.exp(betaln(a, b + rollouts) - betaln(a, b))
