from gateway import recipes


def commands(found):
    return [recipe.command for recipe in found]


def test_names_that_a_shell_would_read_otherwise_are_quoted():
    assert "grpc_health_probe -addr=a:1 -service='a b'" in commands(recipes.for_grpc("a:1", ["a b"]))
    assert commands(recipes.for_rest("http://a", ["/x?y&z"])) == ["curl -i 'http://a/x?y&z'"]


def test_kubernetes_probes_name_the_port_as_a_number():
    assert commands(recipes.for_kubernetes("10.0.0.1:50051")) == [
        "startupProbe: {grpc: {port: 50051, service: readiness}}",
        "readinessProbe: {grpc: {port: 50051, service: readiness}}",
        "livenessProbe: {grpc: {port: 50051, service: liveness}}",
    ]


def test_an_address_without_a_port_gives_no_kubernetes_probe():
    assert recipes.for_kubernetes("dns:///backend") == []
