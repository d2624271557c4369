# SPDX-License-Identifier: Apache-2.0
"""mmdb.py FILE NETWORK=NUMBER=NAME...: a small MaxMind database of autonomous systems, for tests (format 2.0)."""
import ipaddress
import sys


def text(s):
    b = s.encode()
    return (bytes([0x40 | len(b)]) if len(b) < 29 else bytes([0x5D, len(b) - 29])) + b


def number(kind, n, size):
    return (bytes([kind << 5 | size]) if kind < 8 else bytes([size, kind - 7])) + n.to_bytes(size, "big")


def mapping(pairs):
    return bytes([0xE0 | len(pairs)]) + b"".join(text(k) + v for k, v in pairs)


nodes, data = [[None, None]], b""
for spec in sys.argv[2:]:
    network, asn, name = spec.split("=")
    network = ipaddress.ip_network(network)
    bits, value = (network.prefixlen, int(network.network_address)) if network.version == 6 else \
        (96 + network.prefixlen, int(network.network_address))
    at = 0
    for i in range(bits):
        bit = value >> (127 - i) & 1
        if i == bits - 1:
            nodes[at][bit] = ("data", len(data))
        else:
            if nodes[at][bit] is None:
                nodes.append([None, None])
                nodes[at][bit] = len(nodes) - 1
            at = nodes[at][bit]
    data += mapping([("autonomous_system_number", number(6, int(asn), 4)), ("autonomous_system_organization", text(name))])
tree = b""
for node in nodes:
    for record in node:
        n = len(nodes) if record is None else record if isinstance(record, int) else len(nodes) + 16 + record[1]
        tree += n.to_bytes(3, "big")
meta = mapping([("binary_format_major_version", number(5, 2, 2)), ("binary_format_minor_version", number(5, 0, 2)),
                ("build_epoch", number(9, 1, 8)), ("database_type", text("GeoLite2-ASN")), ("description", mapping([])),
                ("ip_version", number(5, 6, 2)), ("languages", bytes([0, 4])), ("node_count", number(6, len(nodes), 4)),
                ("record_size", number(5, 24, 2))])
with open(sys.argv[1], "wb") as f:
    f.write(tree + bytes(16) + data + b"\xab\xcd\xefMaxMind.com" + meta)
