"""Networks for rate limits and known logins: one IPv4 address, or one IPv6 /64."""

from ipaddress import IPv6Address, ip_address, ip_network


def network_of(address: str) -> str:
    """The IPv4 address itself, or the IPv6 address's /64; other texts as they are."""
    try:
        ip = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if not isinstance(ip, IPv6Address):
        return str(ip)
    if ip.ipv4_mapped is not None:
        return str(ip.ipv4_mapped)
    return str(ip_network((ip, 64), strict=False))
