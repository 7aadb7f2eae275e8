"""Ports of this machine: which one the broker takes, and whether a broker answers there."""

from __future__ import annotations

import random
import socket
import struct

from stream.broker.errors import BrokerError

HOST = "127.0.0.1"
"""The only address that the broker listens on."""

# Below the ports that systems hand out for outgoing connections (Linux from 32768, macOS from
# 49152): no client, not even one that waits for this broker to come back, can sit on the port.
_FREE_PORTS = range(20_000, 32_000)

# ApiVersions version 0, the one request that a broker answers before it knows the client: length,
# key, version, correlation id, no client name.
_API_VERSIONS = struct.pack(">ihhih", 10, 18, 0, 1, -1)


def free_port(port: int) -> int:
    """Returns the port, or a random one for 0, after it was found free.

    Raises:
        BrokerError: The port is taken, or not allowed.
    """
    while True:
        candidate = port or random.choice(_FREE_PORTS)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as Java binds it
            try:
                probe.bind((HOST, candidate))
            except OSError as error:
                if port == 0:
                    continue
                raise BrokerError(
                    f"The broker cannot listen on port {port} of {HOST}: {error}. Stop the program"
                    f" that has it (`lsof -i :{port}` names it) or choose another port; 0 takes a "
                    "free one."
                ) from error
            return candidate


def answers(port: int) -> bool:
    """Tells whether a Kafka broker answers there: it does once it takes requests of clients."""
    try:
        with socket.create_connection((HOST, port), timeout=1) as connection:
            if connection.getsockname() == connection.getpeername():
                return False  # TCP lets a socket reach itself where nobody listens
            connection.sendall(_API_VERSIONS)
            return len(connection.recv(4)) > 0
    except OSError:
        return False
