"""Envoy's configuration: one listener, one upstream, and ext_authz when it asks."""

from sidecar.cli.demo.processes import HOST


def config(port: int, upstream: int, authz: int, *, asks: bool) -> dict[str, object]:
    router = _filter("envoy.filters.http.router", "router.v3.Router", {})
    check = _filter(
        "envoy.filters.http.ext_authz", "ext_authz.v3.ExtAuthz",
        {
            "transport_api_version": "V3",
            "http_service": {
                "server_uri": {
                    "uri": f"http://{HOST}:{authz}", "cluster": "authz", "timeout": "1s",
                },
            },
        },
    )  # fmt: skip
    manager = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3."
        "HttpConnectionManager",
        "stat_prefix": "clients",
        "route_config": {
            "virtual_hosts": [{
                "name": "all", "domains": ["*"],
                "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "model"}}],
            }],
        },
        "http_filters": [check, router] if asks else [router],
    }  # fmt: skip
    listener = {
        "address": _address(port),
        "filter_chains": [{
            "filters": [{
                "name": "envoy.filters.network.http_connection_manager", "typed_config": manager,
            }],
        }],
    }  # fmt: skip
    clusters = [_cluster("model", upstream), *([_cluster("authz", authz)] if asks else [])]
    return {"static_resources": {"listeners": [listener], "clusters": clusters}}


def _filter(name: str, kind: str, settings: dict[str, object]) -> dict[str, object]:
    full = f"type.googleapis.com/envoy.extensions.filters.http.{kind}"
    return {"name": name, "typed_config": {"@type": full, **settings}}


def _cluster(name: str, port: int) -> dict[str, object]:
    endpoint = {"endpoint": {"address": _address(port)}}
    return {
        "name": name, "type": "STATIC", "connect_timeout": "1s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
    }  # fmt: skip


def _address(port: int) -> dict[str, object]:
    return {"socket_address": {"address": HOST, "port_value": port}}
