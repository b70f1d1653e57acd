"""Which proxy requests to a server go through: the environment's, but never to a server on this machine."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass


def proxy_of(url: str) -> str:
    """The proxy that the environment names for a server; empty where the server is asked directly.

    A proxy could not reach a server on a loopback address, and would be given the pictures and the key.

    Args:
        url: The server's address.

    Example:
        >>> proxy_of("http://localhost:8000/v1"), proxy_of("http://[::1]:8000/v1")
        ('', '')
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:  # no address: whoever opens it says so
        return ""
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all", "")
    if not proxy or not host or _is_local(host) or proxy_bypass(parts.netloc.rpartition("@")[2]):
        return ""
    if any(_is_within(host, network.strip()) for network in proxies.get("no", "").split(",")):
        return ""
    return proxy if "://" in proxy else f"http://{proxy}"


def proxy_sentence(url: str) -> str:
    """What to say of the proxy for a server, without its password; empty where there is none."""
    proxy = proxy_of(url)
    if not proxy:
        return ""
    host = urlsplit(url).hostname
    return (
        f"requests to {host}, with the key and the pictures, go through the proxy {shown_proxy(proxy)}, which the "
        f"environment names: set NO_PROXY={host} where they should not"
    )


def shown_proxy(proxy: str) -> str:
    """A proxy's scheme, host and port."""
    scheme, _, rest = proxy.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2].partition('/')[0]}"


def _is_local(host: str) -> bool:
    name = host.rstrip(".").lower()
    address = _address(name)
    if address is None:
        return name == "localhost" or name.endswith(".localhost")
    mapped = getattr(address, "ipv4_mapped", None) or address
    return bool(mapped.is_loopback or mapped.is_unspecified)


def _is_within(host: str, network: str) -> bool:
    """Whether a host is an address of a network such as 192.168.0.0/16, as NO_PROXY may name it."""
    address = _address(host)
    try:
        return address is not None and "/" in network and address in ip_network(network, strict=False)
    except ValueError:
        return False


def _address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None
