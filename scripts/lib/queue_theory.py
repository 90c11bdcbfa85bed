"""Queues whose response times are known: Poisson arrivals at one server, with exponential or constant service times.

M/M/1: the response time is exponential with the rate mu - lambda. M/D/1: Erlang's formula gives the distribution of the
waiting time. Its terms alternate in sign and are large, so it needs more digits than a float has.
"""

import decimal
import functools
import math
from dataclasses import dataclass
from decimal import Decimal

M_M_1, M_D_1 = "M/M/1", "M/D/1"
# At a utilisation of 0.95, the terms of the 0.9999 quantile are below 10^40.
CONTEXT = decimal.Context(prec=60)
BISECTIONS = 32  # ten digits
WAIT_MAX = 4096  # service times; the quantiles that the scripts need are far below


@dataclass(frozen=True)
class Queue:
    """A queue in its steady state. The utilisation is the rate times the mean service time."""

    model: str
    rate_per_s: float
    utilisation: float

    @property
    def service_s(self):
        """The mean service time."""
        return self.utilisation / self.rate_per_s

    @property
    def service(self):
        """The service time as a flag of queue_server."""
        kind = "exp" if self.model == M_M_1 else "constant"
        return f"{kind}:{self.service_s * 1e9:.0f}ns"

    def response_s(self, quantile):
        """The response time at a quantile."""
        if self.model == M_M_1:
            return -math.log(1 - quantile) / (1 / self.service_s - self.rate_per_s)
        return self.service_s * (1 + constant_wait(self.utilisation, quantile))

    def is_unqueued(self, quantile):
        """Whether the response time at a quantile is the constant service time of all requests that do not wait. Then
        only the overhead of the sockets distinguishes the values."""
        return self.model == M_D_1 and quantile <= 1 - self.utilisation

    def mean_response_s(self):
        """The mean response time (Pollaczek, Khinchine)."""
        spread = 2 if self.model == M_M_1 else 1  # the second moment of the service time, in squares of its mean
        return self.service_s * (1 + spread * self.utilisation / (2 * (1 - self.utilisation)))

    def backlog_s(self, quantile):
        """The work that an arrival finds, at a quantile: its waiting time. A queue that starts with a random one is
        in its steady state from its first request on."""
        if quantile <= 1 - self.utilisation:
            return 0.0
        if self.model == M_M_1:
            return math.log(self.utilisation / (1 - quantile)) / (1 / self.service_s - self.rate_per_s)
        return self.service_s * constant_wait(self.utilisation, quantile)


def constant_wait_share(utilisation, wait):
    """The share of requests of M/D/1 that wait at most `wait` service times."""
    rho, wait, term_sum = Decimal(utilisation), Decimal(wait), Decimal(0)
    with decimal.localcontext(CONTEXT):
        factorial = Decimal(1)
        for k in range(int(wait) + 1):
            factorial *= k or 1
            ahead = rho * (wait - k)
            # 0 to the power of 0 is 1 here, and an error in Decimal.
            power = (-ahead) ** k if k else Decimal(1)
            term_sum += power / factorial * ahead.exp()
        return float((1 - rho) * term_sum)


@functools.lru_cache(maxsize=None)
def constant_wait(utilisation, quantile):
    """The waiting time of M/D/1 at a quantile, in service times."""
    high = 1.0
    while constant_wait_share(utilisation, high) < quantile:
        high *= 2
        if high > WAIT_MAX:
            raise ValueError(f"the quantile {quantile} at a utilisation of {utilisation} is out of reach")
    return _bisect(lambda wait: constant_wait_share(utilisation, wait) < quantile, 0.0, high)


def largest_rate_per_s(service_s, quantile, objective_s):
    """The highest rate of M/D/1 at which the response time at a quantile meets an objective."""
    if objective_s <= service_s:
        raise ValueError("no rate meets an objective that is not longer than the service time")
    wait = objective_s / service_s - 1
    return _bisect(lambda utilisation: constant_wait_share(utilisation, wait) >= quantile, 0.0, 0.99) / service_s


def _bisect(is_below, low, high):
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if is_below(middle) else (low, middle)
    return (low + high) / 2
