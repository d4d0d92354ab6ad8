"""What the red-team probes share; runs inside a sandbox. `attempt` records an outcome in words, never an exception."""
import errno, http.client, json, os, socket, ssl, struct, subprocess, sys

TIMEOUT = 8  # an answer that takes longer is not an answer
results = {}


def attempt(name, action, *arguments):
    try:
        outcome = action(*arguments)
    except (TimeoutError, socket.timeout):
        outcome = "timeout"
    except ConnectionResetError:
        outcome = "reset"
    except ConnectionRefusedError:
        outcome = "refused"
    except ssl.SSLError as error:
        outcome = f"TLS: {error.reason or error}"
    except socket.gaierror as error:
        outcome = f"no address: {error.strerror}"
    except http.client.RemoteDisconnected:
        outcome = "closed"
    except OSError as error:
        outcome = errno.errorcode.get(error.errno, str(error))
    results[name] = outcome
    return outcome


def report():
    print(json.dumps(results))


def dial(address, port):
    return socket.create_connection((address, port), timeout=TIMEOUT)


def tcp(address, port, data=b"needle\n"):
    """Connects, speaks first, says what came back."""
    with dial(address, port) as connection:
        connection.sendall(data)
        return f"answered: {connection.recv(400).decode('latin1')}" if connection.recv(1, socket.MSG_PEEK) else "closed"


def udp(address, port, data=b"needle"):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as connection:
        connection.settimeout(2)
        connection.connect((address, port))
        connection.send(data)
        return f"answered: {connection.recv(512).hex()}"


def tls(address, port=443, server_name=None, verify=True):
    """A TLS connection to `address` that asks for `server_name`."""
    context = ssl.create_default_context() if verify else ssl._create_unverified_context()
    context.check_hostname = verify and server_name is not None
    return context.wrap_socket(dial(address, port), server_hostname=server_name)


def answer(connection):
    """Status, and the problem's code or the whole body, of one HTTP answer."""
    response = http.client.HTTPResponse(connection)
    response.begin()
    body = response.read().decode("latin1")
    try:
        body = json.loads(body)
    except ValueError:
        pass
    code = body.get("code") if isinstance(body, dict) else None
    return f"{response.status} {code or json.dumps(body)}"


def get(host, path="/", headers=""):
    return f"GET {path} HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n".encode("latin1")


def https(host, path="/", address=None, server_name=None, request=None):
    """One request over TLS to `host`, or to `address` under that name."""
    with tls(address or host, 443, server_name or host) as connection:
        connection.sendall(request or get(host, path))
        return answer(connection)


def http_plain(address, host=None, port=80):
    with dial(address, port) as connection:
        connection.sendall(get(host or address))
        return answer(connection)


def dns(server, name, qtype=1, over="udp"):
    """Asks `server` for `name`: the answer's code and its addresses."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    question = struct.pack(">HHHHHH", 7, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">HH", qtype, 1)
    family = socket.AF_INET6 if ":" in server else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM if over == "tcp" else socket.SOCK_DGRAM) as connection:
        connection.settimeout(TIMEOUT)
        connection.connect((server, 53))
        if over == "tcp":
            connection.sendall(struct.pack(">H", len(question)) + question)
            message = connection.makefile("rb").read(struct.unpack(">H", connection.recv(2))[0])
        else:
            connection.send(question)
            message = connection.recv(4096)
    return f"code {message[3] & 15}, {struct.unpack('>H', message[6:8])[0]} answers"
