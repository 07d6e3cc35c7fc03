"""Distinct access tokens of a peer, made of one of its own: `python -m benchmarks.peers.minting 10000 TOKEN`.

They differ in a claim that nobody reads. They are written one a line.
"""

import sys

import jwt
from benchmarks.peers.people import SECRET


def main(number: int, token: str) -> None:
    claims = jwt.decode(token, options={"verify_signature": False})
    for count in range(number):
        print(jwt.encode({**claims, "benchmark": f"{count:036}"}, SECRET, "HS256"))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
