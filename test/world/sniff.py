"""Reports every packet that arrives in the internet's namespace and is not meant for a stand-in, as JSON lines.

argv: the interface, then "protocol/address/port" of each stand-in. AF_PACKET sees a packet before
netfilter and routing do, so nothing is missed that no one listens for. Of a TCP flow: its SYN and its first bytes.
"""
import ipaddress
import json
import socket
import struct
import sys

interface, served = sys.argv[1], {tuple(item.split("/")) for item in sys.argv[2].split()}
capture = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
SO_RCVBUFFORCE = 33
capture.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 16 << 20)
capture.bind((interface, 3))
flows = set()


def report(**line):
    print(json.dumps(line), flush=True)


def packet(data):
    version = data[0] >> 4
    if version == 4:
        header = (data[0] & 15) * 4
        protocol = data[9]
        source, destination = (str(ipaddress.IPv4Address(data[at:at + 4])) for at in (12, 16))
        rest = data[header:struct.unpack(">H", data[2:4])[0]]
    else:
        protocol, rest = data[6], data[40:40 + struct.unpack(">H", data[4:6])[0]]
        source, destination = (str(ipaddress.IPv6Address(data[at:at + 16])) for at in (8, 24))
        if protocol == 0:  # hop-by-hop options: multicast listener reports
            protocol, rest = rest[0], rest[(rest[1] + 1) * 8:]
    return protocol, source, destination, rest


report(ready=True)
while True:
    frame, (_, _, kind, _, _) = capture.recvfrom(2048)
    if kind == socket.PACKET_OUTGOING or frame[12:14] not in (b"\x08\x00", b"\x86\xdd"):
        continue
    protocol, source, destination, rest = packet(frame[14:])
    if protocol == 58 and rest[0] in (130, 131, 132, 133, 134, 135, 136, 143):
        continue  # neighbours and multicast listeners: the link's own
    names = {6: "tcp", 17: "udp", 1: "icmp", 58: "icmp"}
    name, port, payload = names.get(protocol, str(protocol)), 0, rest
    if protocol in (6, 17):
        from_port, port = struct.unpack(">HH", rest[:4])
        if (name, destination, str(port)) in served:
            continue
        payload = rest[8:] if protocol == 17 else rest[(rest[12] >> 4) * 4:]
        flow = (source, from_port, destination, port)
        if protocol == 6:
            opens = rest[13] & 0x12 == 2
            if not opens and (not payload or flow in flows):
                continue
            if payload:
                flows.add(flow)
    report(protocol=name, source=source, destination=destination, port=port, bytes=payload[:256].decode("latin1"))
