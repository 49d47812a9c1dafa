"""Connections to and from the network of a pod; a program of its own, because it runs in there.

`listen ADDRESS:PORT/PROTOCOL …` answers everybody, and says so once it does. `try ADDRESS:PORT/PROTOCOL …` tries all at once
and prints those that answered, as JSON.
"""

import json
import socket
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import NoReturn

SECONDS = 5.0
"""How long an attempt waits. Only some of those that are refused are told so."""

_UDP_TRIES = 3
_KINDS = {"TCP": socket.SOCK_STREAM, "UDP": socket.SOCK_DGRAM}


def main() -> None:
    """Do what the command line says."""
    match sys.argv[1:]:
        case ["listen", *places]:
            listen(places)
        case ["try", *places]:
            with ThreadPoolExecutor(max(1, len(places))) as pool:
                answers = list(pool.map(answered, places))
            print(json.dumps([place for place, answer in zip(places, answers, strict=True) if answer]))


def listen(places: list[str]) -> NoReturn:
    """Answer at `ADDRESS:PORT/PROTOCOL`, for ever."""
    for listening in [_opened(place) for place in places]:
        threading.Thread(target=_answer, args=(listening,), daemon=True).start()
    print("listening", flush=True)
    while True:
        threading.Event().wait()


def _opened(place: str) -> socket.socket:
    address, kind = _parsed(place)
    opened = socket.socket(socket.AF_INET, kind)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    opened.bind(address)
    if kind == socket.SOCK_STREAM:
        opened.listen(64)
    return opened


def _answer(listening: socket.socket) -> None:
    while True:
        if listening.type == socket.SOCK_STREAM:
            listening.accept()[0].close()
        else:
            _, caller = listening.recvfrom(64)
            listening.sendto(b"here", caller)


def answered(place: str) -> bool:
    """Whether a TCP connection comes about, or a UDP packet is answered."""
    address, kind = _parsed(place)
    with socket.socket(socket.AF_INET, kind) as mine:
        mine.settimeout(SECONDS if kind == socket.SOCK_STREAM else SECONDS / _UDP_TRIES)
        for _ in range(1 if kind == socket.SOCK_STREAM else _UDP_TRIES):
            try:
                mine.connect(address)
                if kind == socket.SOCK_STREAM:
                    return True
                mine.send(b"anybody?")
                if mine.recv(64) == b"here":
                    return True
            except OSError:
                continue
    return False


def _parsed(place: str) -> tuple[tuple[str, int], socket.SocketKind]:
    where, _, protocol = place.partition("/")
    address, _, port = where.rpartition(":")
    return (address, int(port)), _KINDS[protocol]


if __name__ == "__main__":
    main()
