"""The statistics of a server: /stats of its admin listener, as JSON."""

import http.client
import json

from child import Failure

TIMEOUT_S = 5.0


def stats(address):
    """The server's statistics at this moment."""
    host, port = address.rsplit(":", 1)
    connection = http.client.HTTPConnection(host, int(port), timeout=TIMEOUT_S)
    try:
        connection.request("GET", "/stats")
        answer = connection.getresponse()
        text = answer.read()
        if answer.status != http.client.OK:
            raise Failure(f"/stats on {address} answered {answer.status}: {text[:200]!r}")
        return json.loads(text)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Failure(f"/stats on {address} cannot be read: {error!r}") from error
    finally:
        connection.close()


def per_shard(values, name):
    """A figure of each shard, in the order of the shards."""
    return [shard[name] for shard in values["shards"]]


def over_acceptors(values, name):
    """A counter summed over all threads that accept."""
    return sum(acceptor[name] for acceptor in values["acceptors"])
