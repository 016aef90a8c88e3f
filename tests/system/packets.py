"""Frames made by hand, and a wire in a lab host to send them over: what goes in at one end of a bridge, comes out at the other?"""
import json
import socket
import struct

from waiting import wait_for

ANYONE = "ff:ff:ff:ff:ff:ff"

# Runs inside the host: sends frames into one device and says which came out of another, up to the last, which must.
WIRE = """
import json, select, socket, sys
into, out, frames = json.loads(sys.argv[1])
frames = [bytes.fromhex(f) for f in frames]
ear = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
ear.bind((out, 3))
mouth = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
mouth.bind((into, 0))
for f in frames:
    mouth.send(f)
heard = set()
while len(frames) - 1 not in heard:
    if not select.select([ear], [], [], 60)[0]:
        sys.exit("the last frame did not come: heard " + str(sorted(heard)))
    got, where = ear.recvfrom(65535)
    heard.update(i for i, f in enumerate(frames) if where[2] != 4 and got == f)
print(json.dumps(sorted(heard)))
"""


def mac(text):
    return bytes.fromhex(text.replace(":", ""))


def frame(source, kind, payload, to=ANYONE):
    return (mac(to) + mac(source) + struct.pack("!H", kind) + payload).ljust(60, b"\0")


def arp(source, address, sender=None, opcode=1, target="10.9.0.99", kind=0x806):
    """An ARP packet; sender: the MAC address that it speaks of, unless that is who sends it."""
    return frame(source, kind, struct.pack("!HHBBH", 1, 0x800, 6, 4, opcode) + mac(sender or source) +
                 socket.inet_aton(address) + bytes(6) + socket.inet_aton(target))


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xffff) + (total >> 16)
    return ~(total + (total >> 16)) & 0xffff


def ip(source, address, to="10.9.0.99", protocol=17, payload=bytes(40), to_mac="52:54:00:99:99:99"):
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), 1, 0, 64, protocol, 0,
                       socket.inet_aton(address), socket.inet_aton(to))
    head = head[:10] + struct.pack("!H", checksum(head)) + head[12:]
    return frame(source, 0x800, head + payload, to_mac)


def ip6(source, to_mac=ANYONE):
    """Nothing in IPv6."""
    return frame(source, 0x86dd, struct.pack("!IHBB", 6 << 28, 16, 59, 64) + bytes(15) + b"\1" + bytes(15) + b"\2" + bytes(16), to_mac)


def udp(source, address, from_port=1000, to_port=2000, payload=b"payload", **more):
    payload = payload.ljust(40)  # long enough that no switch sees padding that it could cut off
    return ip(source, address, payload=struct.pack("!HHHH", from_port, to_port, 8 + len(payload), 0) + payload, **more)


def dhcp(client, reply, kind, address="0.0.0.0", lease_s=3600, server="10.9.0.1", sender="52:54:00:88:88:88"):
    """Between a client and a server; address: what is given, or given back."""
    given = socket.inet_aton(address)
    options = (bytes([99, 130, 83, 99, 53, 1, kind, 51, 4]) + struct.pack("!I", lease_s) + bytes([54, 4]) +
               socket.inet_aton(server) + bytes([255]))
    body = (struct.pack("!BBBBIHH", 2 if reply else 1, 1, 6, 0, 7, 0, 0) + (bytes(4) if reply else given) +
            (given if reply else bytes(4)) + bytes(8) + mac(client) + bytes(10 + 64 + 128) + options)
    if reply:
        return udp(sender, server, 67, 68, body, to="255.255.255.255", to_mac=ANYONE)
    return udp(client, "0.0.0.0", 68, 67, body, to="255.255.255.255", to_mac=ANYONE)


def forwards(*ports):
    """Words of a shell that waits until these ports of a bridge forward: the kernel sees their cables a moment later."""
    return "; ".join(f"until [ $(cat /sys/class/net/{port}/brport/state) = 3 ]; do sleep 0.1; done" for port in ports)


SEND = "import socket, sys; s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW); s.bind((sys.argv[1], 0)); s.send(bytes.fromhex(sys.argv[2]))"


def ruleset(host):
    """All rules in force in a host. nft fails when they change while it reads them: then it is asked again."""
    def listed():
        done = host.run(["nft", "list", "ruleset"], check=False)
        return done if done.returncode == 0 else None
    return wait_for("nft to read the rules", listed).stdout


def send(host, into, one):
    """One frame into a device; nobody need hear it."""
    host.run(["/usr/bin/python3", "-c", SEND, into, one.hex()])


def pass_through(host, into, out, frames, last):
    """Which of the frames (their places) came out before `last`, which must come out."""
    said = host.run(["/usr/bin/python3", "-c", WIRE, json.dumps([into, out, [f.hex() for f in [*frames, last]]])]).stdout
    return [i for i in json.loads(said) if i < len(frames)]
