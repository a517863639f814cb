"""What each attacker of SECURITY.md's table does, for `.ci/soak`: one function each, called over and over.

Attackers verify no certificate, and what fails is mostly the other side defending itself. What must never work raises
`Breach`, which ends the soak.
"""

import base64
import json
import os
import random
import socket
import ssl
import subprocess
import tempfile

PATH = "/etcha/v1/system/metrics"
# Of a user who has no rights here; used where this runs as root.
NOBODY = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
# A frame of a thousand zstd blocks, each of which says that 128 KiB of NULs follow.
BOMB = bytes.fromhex("28b52ffd0068") + ((131072 << 3) | 2).to_bytes(3, "little") + b"\0"


class Breach(Exception):
    """Something worked that must not."""


def context():
    made = ssl.create_default_context()
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    return made


def secured(port, source="127.0.0.1"):
    plain = socket.create_connection(("127.0.0.1", port), 5, source_address=(source, 0))
    return context().wrap_socket(plain, server_hostname="localhost")


# The network.


def silent(world):
    """Connects a hundred times and says nothing."""
    held = [socket.create_connection(("127.0.0.1", world.port), 5) for _ in range(100)]
    world.stop.wait(2)
    for one in held:
        one.close()


def slow_header(world):
    with secured(world.port) as stream:
        stream.sendall(b"GET / HTTP/1.1\r\nX-Slow: ")
        for _ in range(100):
            if world.stop.wait(0.1):
                return
            stream.sendall(b"x")


def wrong_key(world):
    with secured(world.port) as stream:
        for n in range(50):
            stream.sendall(f"GET {PATH}?key=guess{n} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            answer = stream.recv(65536)
            if not answer:
                return
            if answer.startswith(b"HTTP/1.1 200"):
                raise Breach("a guessed key opens the metrics")
            world.stop.wait(0.01)


def rubbish(world):
    with socket.create_connection(("127.0.0.1", world.port), 5) as plain:
        plain.sendall(os.urandom(512))
        plain.recv(1)


def bombs(world):
    """Tokens that cost those much who build them before they verify them, and bodies that never end."""
    header = '{"alg":"EdDSA","crit":[' + '{"":0},' * random.choice([100, 60_000, 400_000])
    bomb = base64.urlsafe_b64encode(header.encode()).decode() + ".e30.AAAA"
    for path in ["/etcha/v1/push/web", "/etcha/v1/shell/web"]:
        answer = post(world.engine_port, path, bomb.encode(), source="127.0.0.5")
        if answer.startswith(b"HTTP/1.1 200"):
            raise Breach("a token without a signature is taken")
    with secured(world.engine_port, "127.0.0.6") as stream:
        stream.sendall(b"POST /etcha/v1/push/web HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4000000\r\n\r\n" + b"x" * 60_000)
        world.stop.wait(1)


def post(port, path, body, source="127.0.0.1"):
    with secured(port, source) as stream:
        stream.settimeout(60)
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
        stream.sendall(head.encode() + body)
        answer = b""
        while piece := stream.recv(65536):
            answer += piece
        return answer


# The holder of a scrape key.


def reads_nothing(world):
    with secured(world.port) as stream:
        stream.sendall(f"GET {PATH}?key={world.key} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        world.stop.wait(3)


# The holder of a key of a Source that runs as `nobody`.

LIMITED = [
    "{run: [{id: 'a', change: std.native('getFile')('%s', null)}]}",
    "{run: [{id: 'a', change: importstr '/etc/shadow'}]}",
    "local f(n) = if n < 0 then 0 else f(n + 1) tailstrict; {run: f(0)}",
    "{run: [], x: std.length(std.range(1, 2e9))}",
    "{run: [{a: 0} for i in std.range(1, 200000)]}",
    "{run: [{id: 'a', always: true, exec: {user: 'root', allowOverride: true}, change: 'id -u; cat %s'}]}",
    "{run: [{id: 'a', always: true, change: 'head -c 3000000 /dev/zero | tr \"\\\\0\" x'}]}",
    "{run: [{id: 'a', always: true, envPrefix: 'LD_PRELOAD', change: 'echo x'}]}",
    "{run: [{id: std.repeat('i', 60000) + '%s', always: true, change: 'true'}]}",
]


def limited_key(world):
    """Pushes what reads, costs or becomes more than the Source may."""
    program = random.choice(LIMITED)
    if "%s" in program:
        program %= world.secret
    answer = post(world.engine_port, "/etcha/v1/push/limited", token(world.limited_key, program), source="127.0.0.8")
    if world.secret_text.encode() in answer:
        raise Breach(f"a limited key reads a file of root: {program}")
    world.stop.wait(0.2)


def token(key, program):
    """Signed without being rendered here; by `openssl`, as Python has no signatures by itself."""
    def encode(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=")

    claims = {"etchaPattern": {"entrypoint": "/p.jsonnet", "files": {"/p.jsonnet": program}}}
    message = encode(b'{"alg":"EdDSA"}') + b"." + encode(json.dumps(claims).encode())
    with tempfile.NamedTemporaryFile() as file:
        file.write(message)
        file.flush()
        command = ["openssl", "pkeyutl", "-sign", "-rawin", "-inkey", key, "-in", file.name]
        return message + b"." + encode(subprocess.run(command, capture_output=True, check=True).stdout)


# A writer of the journal.


def journal_writer(world):
    """Long and odd labels, lines that are none, and files beside the journal."""
    with open(world.home / "journal/journal.jsonl", "ab", buffering=0) as journal:
        for _ in range(20):
            journal.write(odd_line(world))
            world.stop.wait(0.01)
    name = f"journal.jsonl.{random.randrange(5)}"
    planted = world.home / "journal" / name
    random.choice([frames, sparse, pipe, link])(planted)
    world.stop.wait(0.5)
    planted.unlink(missing_ok=True)
    planted.with_suffix(planted.suffix + ".zst").unlink(missing_ok=True)


def odd_line(world):
    kind = random.randrange(6)
    if kind == 0:
        return os.urandom(300).replace(b"\n", b"") + b"\n"
    if kind == 1:
        return b"[" * 60_000 + b"\n"
    world.seq += 1
    label = random.choice(["x", "\u202e", "\x1b[2J", "\r", "\u2028", '"\\'])
    line = {"v": 1, "writer": "hostile", "seq": random.choice([world.seq, world.seq + 2**40]), "time": "2026-01-01T00:00:00.000Z",
            "event": "command", "id": f"{random.random()}{label * random.choice([1, 100, 1000])}", "mode": "changed",
            "error": False, "source": "limited"}
    return json.dumps(line).encode() + b"\n"


def frames(path):
    path = path.with_suffix(path.suffix + ".zst")
    path.write_bytes(BOMB[:6] + BOMB[6:] * 100_000 + b"\x01\0\0")


def sparse(path):
    with open(path, "wb") as file:
        file.truncate(1 << 40)


def pipe(path):
    os.mkfifo(path)


def link(path):
    path.symlink_to(random.choice(["/dev/zero", "/etc/passwd", path.name, "journal.jsonl"]))


# Another user of the host.


def local_user(world):
    """Reads what is not meant for others, and talks to both programs from the host itself."""
    if os.geteuid() == 0:
        for file in ["key", "state/tls-key.pem", "state/checkpoint", "engine-state/tls-key.pem", "secret", "limited.pem"]:
            read = subprocess.run([*NOBODY, "cat", world.home / file], capture_output=True, check=False)
            if read.returncode == 0:
                raise Breach(f"another user reads {file}")
    for port in [world.port, world.engine_port]:
        with secured(port, "127.0.0.7") as stream:
            stream.sendall(b"GET /../../etc/passwd HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            if b"root:" in stream.recv(65536):
                raise Breach("a file of the host is served")
    world.stop.wait(0.2)


ALL = [silent, silent, slow_header, wrong_key, rubbish, bombs, bombs, reads_nothing, reads_nothing, limited_key, journal_writer,
       local_user]
