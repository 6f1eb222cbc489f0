"""Whether a service of a container works: exit 0, or 1 with the reason. Standard library only.

container-health.py socket PATH      something listens on a socket
container-health.py http URL         a server answers with less than 500, such as 401 or a page
"""

import socket
import sys
import urllib.error
import urllib.request

_SECONDS = 5.0


def main(kind: str, place: str) -> None:
    """Try once.

    Raises:
        OSError: nothing answers.
    """
    if kind == "socket":
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(_SECONDS)
            probe.connect(place)
        return
    try:
        urllib.request.urlopen(place, timeout=_SECONDS).close()
    except urllib.error.HTTPError as error:
        if error.code >= 500:
            raise


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except OSError as error:
        sys.exit(f"unhealthy: {error}")
