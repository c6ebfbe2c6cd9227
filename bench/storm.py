# SPDX-License-Identifier: MIT
"""storm.py PORT - 2,000 clients that connect at once, send a byte each, and wait for it to come back."""
import resource
import socket
import sys

CLIENTS = 2000


def main():
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    clients = [socket.socket() for _ in range(CLIENTS)]
    for client in clients:
        client.setblocking(False)
        client.connect_ex(("127.0.0.1", int(sys.argv[1])))
    for client in clients:
        client.setblocking(True)
        client.sendall(b"x")
    for client in clients:
        if client.recv(1) != b"x":
            sys.exit("storm: a byte is missing")
        client.close()


main()
