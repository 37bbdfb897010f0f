"""What the rendered objects say, and that it fits the processes they run."""

import base64
import json

import pytest
from pydantic import AliasChoices

from deploy.container import settings_class
from gateway import channel
from gateway.facades import FACADES
from gateway.settings import GatewaySettings
from runtime import healthcheck
from runtime.settings import load
from services.llmproxy import configuration
from services.llmproxy.presets import PRESETS
from tests.deploy.rendering import CHART, CI_VALUES, COMPONENT, ROOT, Helm, run

BACKENDS = sorted(path.parent.name for path in (ROOT / "services").glob("*/__main__.py"))
PROCESSES = ["gateway", *BACKENDS]
CI = {path.name.removesuffix("-values.yaml"): path for path in CI_VALUES}

# https://kubernetes.io/docs/tasks/administer-cluster/sysctl-cluster/#safe-and-unsafe-sysctls
SAFE_SYSCTLS = {"net.ipv4.ip_local_port_range"}
UNRESTRICTED = {"host-network"}


def variables(process: str) -> set[str]:
    """Every variable that sets something in a process."""
    known = {"PULSEGATE_CONFIG"}
    for name, model_field in settings_class(process).model_fields.items():
        known.add(f"PULSEGATE_{process.upper()}_{name.upper()}")
        if isinstance(model_field.validation_alias, AliasChoices):
            known.update(str(alias) for alias in model_field.validation_alias.choices)
    if process == "llmproxy":
        known.update(variable for preset in PRESETS.values() for variable in preset.key_variables)
    return known


def pod(rendered, process):
    return rendered.deployment(process)["spec"]["template"]["spec"]


def selected(manifest):
    return manifest["spec"]["template"]["metadata"]["labels"].items()


def test_there_is_one_deployment_per_process(render):
    deployments = [one["metadata"]["name"] for one in render().all("Deployment")]
    assert sorted(deployments) == sorted(f"pg-pulsegate-{process}" for process in PROCESSES)


def test_a_new_backend_needs_no_template(render):
    rendered = render(
        {"backends": {"news": {"service": "news.v1.NewsService", "grpcPort": 50054, "metricsPort": 9104}}}
    )
    assert rendered.container("news")["readinessProbe"]["grpc"] == {"port": 50054, "service": "readiness"}
    assert rendered.variables("news")["PULSEGATE_NEWS_ADDRESS"] == "0.0.0.0:50054"
    assert rendered.one("Service", "pg-pulsegate-news")["spec"]["clusterIP"] == "None"
    assert rendered.variables("gateway")["PULSEGATE_GATEWAY_NEWS_TARGET"].endswith(":50054")


@pytest.mark.parametrize("process", PROCESSES)
@pytest.mark.parametrize("values", CI, ids=str)
def test_every_variable_is_one_the_process_reads(helm4: Helm, values, process):
    rendered = helm4.template(files=[CI[values]])
    if process not in [one["metadata"]["labels"][COMPONENT] for one in rendered.all("Deployment")]:
        return
    ours = {name for name in rendered.variables(process) if name.startswith(("PULSEGATE_", "ICEY_", "CCPROXY_"))}
    assert ours
    assert ours <= variables(process)
    for secret in rendered.all("Secret"):
        if secret["metadata"]["labels"][COMPONENT] == process:
            assert secret["data"].keys() - {"config.json"} <= variables(process)
    for config in rendered.all("ConfigMap"):
        if "settings.json" in config.get("data", {}):
            for name, table in json.loads(config["data"]["settings.json"]).items():
                assert table.keys() <= settings_class(name).model_fields.keys()


@pytest.mark.parametrize("process", PROCESSES)
def test_the_processes_accept_what_they_are_told(render, process, monkeypatch):
    for name, value in render().variables(process).items():
        monkeypatch.setenv(name, value)
    settings = load(settings_class(process), [])
    assert settings.drain_seconds > 0
    if process == "gateway":
        assert settings.listener("converter") == ("0.0.0.0", 5000)
        assert settings.target("media") == "dns:///pg-pulsegate-media.ns.svc.cluster.local:50052"
    else:
        assert settings.address.startswith("0.0.0.0:")


def test_the_ports_are_those_the_processes_have_by_themselves(render):
    for facade in [*(one.name for one in FACADES), "operator"]:
        port = GatewaySettings.model_fields[f"{facade}_port"].default
        assert {"name": facade, "containerPort": port} in render().container("gateway")["ports"]
    for backend in BACKENDS:
        for name, key in (("grpc", "address"), ("metrics", "metrics_address")):
            port = int(settings_class(backend).model_fields[key].default.rpartition(":")[2])
            assert {"name": name, "containerPort": port} in render().container(backend)["ports"]


def test_each_backend_is_probed_by_grpc_under_its_health_names(render):
    for backend in BACKENDS:
        container = render().container(backend)
        port = next(one["containerPort"] for one in container["ports"] if one["name"] == "grpc")
        asked = {kind: container[f"{kind}Probe"]["grpc"] for kind in ("startup", "liveness", "readiness")}
        assert asked["startup"] == asked["liveness"] == {"port": port, "service": "liveness"}
        assert asked["readiness"] == {"port": port, "service": "readiness"}


def test_the_health_tests_ask_for_the_services_the_gateway_knows(render):
    for facade in FACADES:
        test = render().one("Pod", f"pg-pulsegate-{facade.name}-test")
        assert f"-service={facade.service}" in test["spec"]["containers"][0]["args"]
        assert test["metadata"]["annotations"]["helm.sh/hook"] == "test"
    asked = render().one("Pod", "pg-pulsegate-gateway-test")["spec"]["containers"][0]["args"]
    operator = "http://pg-pulsegate-gateway:8080"
    seen = [f"{operator}/api/services?service={facade.service}" for facade in FACADES]
    assert asked[0] == f"{operator}/readyz"
    assert sorted(asked[1:]) == sorted(seen)


def test_the_health_tests_know_the_operators_token(render):
    rendered = render({}, CI["operator-token"])
    (asking,) = rendered.one("Pod", "pg-pulsegate-gateway-test")["spec"]["containers"]
    assert asking["args"][-2:] == ["--header", "Authorization: Bearer $(OPERATOR_TOKEN)"]
    ((name, source),) = [(one["name"], one["valueFrom"]["secretKeyRef"]) for one in asking["env"]]
    assert name == "OPERATOR_TOKEN"
    assert source.pop("optional")  # a Secret of the user's may hold no such key
    assert source == {"name": "pg-pulsegate-gateway", "key": "PULSEGATE_GATEWAY_OPERATOR_TOKEN"}


def test_the_health_tests_run_where_the_processes_run(render):
    rendered = render({}, CI["everything"])
    for process in ("gateway", "converter"):
        asking = rendered.one("Pod", f"pg-{process}-test")["spec"]
        assert asking["nodeSelector"] == pod(rendered, process)["nodeSelector"]
        assert asking["tolerations"] == pod(rendered, process)["tolerations"]


def test_exec_probes_run_the_health_check_and_leave_it_time_to_say_why(render):
    for backend in BACKENDS:
        container = render({}, CI["exec-probes"]).container(backend)
        for kind, service in (("startup", "liveness"), ("liveness", "liveness"), ("readiness", "readiness")):
            probe = container[f"{kind}Probe"]
            command = probe["exec"]["command"]
            assert command[:2] == ["pulsegate", "healthcheck"]
            assert f"-service={service}" in command
            given = sum(int(part.partition("=")[2][:-1]) for part in command if "timeout=" in part)
            assert 0 < given < probe["timeoutSeconds"]


def test_certificates_are_given_to_both_sides_and_to_the_health_checks(render):
    rendered = render({}, CI["tls"])
    for process in PROCESSES:
        mounts = {one["name"]: one["mountPath"] for one in rendered.container(process)["volumeMounts"]}
        told = rendered.variables(process)
        for key, file in (("CERTIFICATE", "tls.crt"), ("KEY", "tls.key"), ("AUTHORITY", "ca.crt")):
            assert told[f"PULSEGATE_{process.upper()}_GRPC_{key}"] == f"{mounts['tls']}/{file}"
        secret = "converter-certificate" if process == "converter" else f"pg-pulsegate-{process}-tls"
        assert {"name": "tls", "secret": {"secretName": secret}} in pod(rendered, process)["volumes"]
        certificate = rendered.one("Certificate", f"pg-pulsegate-{process}")["spec"]
        assert certificate["secretName"] == secret
        assert certificate["usages"] == ["server auth", "client auth"]
    for backend in BACKENDS:
        (name,) = rendered.one("Certificate", f"pg-pulsegate-{backend}")["spec"]["dnsNames"]
        target = rendered.variables("gateway")[f"PULSEGATE_GATEWAY_{backend.upper()}_TARGET"]
        assert channel.host(target) == name  # the gateway expects the name that is in the certificate
        probe = rendered.container(backend)["livenessProbe"]["exec"]["command"]
        test = rendered.one("Pod", f"pg-pulsegate-{backend}-test")["spec"]
        for flags in (probe[2:], test["containers"][0]["args"]):
            options = healthcheck.parse(flags)
            healthcheck.validate(options)
            assert options.tls
            assert options.tls_server_name == name
        assert test["volumes"][0]["name"] == "tls"


def test_rest_ports_with_a_certificate_are_probed_called_and_scraped_by_tls(render):
    own = {
        "ports": ["media", "operator"],
        "certManager": {"enabled": True, "issuerRef": {"name": "public"}, "dnsNames": ["gateway.example.org"]},
    }
    monitor = {"enabled": True, "authorization": {"credentials": {"name": "operators", "key": "token"}}}
    rendered = render({"gateway": {"tls": own}, "monitoring": {"serviceMonitor": monitor}})
    told = rendered.variables("gateway")
    assert told["PULSEGATE_GATEWAY_MEDIA_TLS_CERTIFICATE"] == "/etc/pulsegate-rest-tls/tls.crt"
    assert told["PULSEGATE_GATEWAY_OPERATOR_TLS_KEY"] == "/etc/pulsegate-rest-tls/tls.key"
    assert "PULSEGATE_GATEWAY_CONVERTER_TLS_KEY" not in told
    (volume,) = [one for one in pod(rendered, "gateway")["volumes"] if one["name"] == "rest-tls"]
    certificate = rendered.one("Certificate", "pg-pulsegate-gateway-rest")["spec"]
    assert volume["secret"]["secretName"] == certificate["secretName"] == "pg-pulsegate-gateway-rest-tls"
    assert certificate["dnsNames"] == ["gateway.example.org"]
    container = rendered.container("gateway")
    assert {container[f"{kind}Probe"]["httpGet"]["scheme"] for kind in ("startup", "liveness", "readiness")} == {
        "HTTPS"
    }
    service = rendered.one("Service", "pg-pulsegate-gateway")["spec"]["ports"]
    schemes = {port["name"]: port["appProtocol"] for port in service}
    assert schemes == {"converter": "http", "media": "https", "llmproxy": "http", "operator": "https"}
    endpoints = {one["port"]: one for one in rendered.all("ServiceMonitor")[0]["spec"]["endpoints"]}
    assert endpoints["operator"]["scheme"] == "https"
    assert endpoints["operator"]["authorization"]["credentials"]["name"] == "operators"
    assert endpoints["metrics"].keys().isdisjoint({"scheme", "authorization"})
    (asking,) = [one for one in rendered.all("Pod") if one["metadata"]["name"].endswith("gateway-test")]
    assert asking["spec"]["containers"][0]["args"][0] == "https://pg-pulsegate-gateway:8080/readyz"
    assert "--insecure" in asking["spec"]["containers"][0]["command"]


def test_without_certificates_nothing_of_the_rest_ports_speaks_tls(render):
    rendered = render()
    assert [one["name"] for one in pod(rendered, "gateway")["volumes"]] == ["tmp"]
    assert "scheme" not in rendered.container("gateway")["readinessProbe"]["httpGet"]
    assert {one["appProtocol"] for one in rendered.one("Service", "pg-pulsegate-gateway")["spec"]["ports"]} == {"http"}


def test_custom_probes_are_used_as_they_are(render):
    rendered = render({}, CI["custom-probes"])
    assert rendered.container("converter")["livenessProbe"] == {"tcpSocket": {"port": 10000}}
    assert "readinessProbe" not in rendered.container("converter")
    assert not [key for key in rendered.container("llmproxy") if key.endswith("Probe")]


def test_the_gateway_is_probed_on_the_operators_port_or_as_the_originals_document(render):
    container = render().container("gateway")
    assert container["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "operator"}
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "operator"}
    container = render({}, CI["documented-probes"]).container("gateway")
    assert container["livenessProbe"]["httpGet"] == {"path": "/api/health", "port": "media"}
    assert container["readinessProbe"]["httpGet"] == {"path": "/api/ready", "port": "media"}


def test_a_pod_has_time_to_leave(render):
    for process in PROCESSES:
        spec, told = pod(render(), process), render().variables(process)
        sleep = render().container(process).get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        drain, grace = (float(told[f"PULSEGATE_{process.upper()}_{key}_SECONDS"]) for key in ("DRAIN", "GRACE"))
        assert sleep + drain + grace + 5 <= spec["terminationGracePeriodSeconds"]


@pytest.mark.parametrize("values", sorted(CI.keys() - UNRESTRICTED), ids=str)
def test_every_pod_passes_the_restricted_pod_security_standard(helm4: Helm, values):
    rendered = helm4.template(files=[CI[values]])
    specs = [one["spec"]["template"]["spec"] for one in rendered.all("Deployment")]
    for spec in [*specs, *(one["spec"] for one in rendered.all("Pod"))]:
        assert not spec.keys() & {"hostNetwork", "hostPID", "hostIPC"}
        context = spec["securityContext"]
        assert context["runAsNonRoot"] is True
        assert context["runAsUser"] >= 10000
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        assert {one["name"] for one in context.get("sysctls", [])} <= SAFE_SYSCTLS
        for container in spec["containers"]:
            own = container["securityContext"]
            assert own["allowPrivilegeEscalation"] is False
            assert own["capabilities"]["drop"] == ["ALL"]
            assert own["capabilities"].get("add", []) == (["NET_BIND_SERVICE"] if container["name"] == "coturn" else [])
            assert own["readOnlyRootFilesystem"] is True
            assert not own.get("privileged")
            assert not any("hostPort" in port for port in container.get("ports", []))
        for volume in spec.get("volumes", []):
            assert volume.keys() - {"name"} <= {"configMap", "emptyDir", "persistentVolumeClaim", "secret"}


def test_no_pod_gets_a_token_or_variables_of_its_neighbours(render):
    for process in PROCESSES:
        spec = pod(render(), process)
        assert spec["automountServiceAccountToken"] is False
        assert spec["enableServiceLinks"] is False
        account = render().one("ServiceAccount", spec["serviceAccountName"])
        assert account["automountServiceAccountToken"] is False
    names = [pod(render(), process)["serviceAccountName"] for process in PROCESSES]
    assert len(set(names)) == len(names)


def test_selectors_hold_only_what_never_changes(render):
    for values in (None, {"commonLabels": {"a": "b"}, "defaults": {"podLabels": {"c": "d"}, "image": {"tag": "2"}}}):
        for deployment in render(values).all("Deployment"):
            chosen = deployment["spec"]["selector"]["matchLabels"]
            assert chosen.keys() == {
                "app.kubernetes.io/name", "app.kubernetes.io/instance", "app.kubernetes.io/component"
            }  # fmt: skip
            assert chosen.items() <= selected(deployment)


def test_a_new_version_of_the_chart_alone_restarts_no_pod(render):
    for deployment in render().all("Deployment"):
        assert "helm.sh/chart" in deployment["metadata"]["labels"]
        assert "helm.sh/chart" not in dict(selected(deployment))


def test_every_service_selects_the_pods_and_ports_of_one_process(render):
    rendered = render({}, CI["turn"])
    deployments = rendered.all("Deployment")
    for service in rendered.all("Service"):
        (target,) = [one for one in deployments if service["spec"]["selector"].items() <= selected(one)]
        containers = target["spec"]["template"]["spec"]["containers"]
        offered = {port["name"] for one in containers for port in one["ports"]}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= offered


def test_grpc_services_are_headless_and_show_pods_that_are_not_ready(render):
    for backend in BACKENDS:
        spec = render().one("Service", f"pg-pulsegate-{backend}")["spec"]
        assert spec["clusterIP"] == "None"
        assert spec["publishNotReadyAddresses"] is True
        assert spec["ports"][0]["appProtocol"] == "kubernetes.io/h2c"
        target = render().variables("gateway")[f"PULSEGATE_GATEWAY_{backend.upper()}_TARGET"]
        assert target == f"dns:///pg-pulsegate-{backend}.ns.svc.cluster.local:{spec['ports'][0]['port']}"
        encrypted = render({}, CI["tls"]).one("Service", f"pg-pulsegate-{backend}")["spec"]
        assert encrypted["ports"][0]["appProtocol"] == "https"


def test_ice_clients_have_a_service_of_their_own(render):
    spec = render().one("Service", "pg-pulsegate-converter-ice")["spec"]
    assert spec["ports"][0]["port"] == 10000
    assert render().variables("converter")["PULSEGATE_CONVERTER_ICE_ADDRESS"] == "0.0.0.0:10000"


def test_the_operators_port_is_not_exposed_with_the_rest(render):
    exposed = render({}, CI["exposed"])
    public = exposed.one("Service", "pg-pulsegate-gateway")["spec"]
    assert public["type"] == "LoadBalancer"
    assert "operator" not in [port["name"] for port in public["ports"]]
    assert exposed.one("Service", "pg-pulsegate-gateway-operator")["spec"].get("type", "ClusterIP") == "ClusterIP"
    asked = exposed.one("Pod", "pg-pulsegate-gateway-test")["spec"]["containers"][0]["args"]
    assert asked[0] == "http://pg-pulsegate-gateway-operator:8080/readyz"


def test_routes_lead_to_the_facade_of_their_host(render):
    exposed = render({}, CI["exposed"])
    rules = exposed.one("Ingress", "pg-pulsegate-gateway")["spec"]["rules"]
    assert {rule["host"]: rule["http"]["paths"][0]["backend"]["service"]["port"]["name"] for rule in rules} == {
        "converter.example.org": "converter", "media.example.org": "media", "llm.example.org": "llmproxy"
    }  # fmt: skip
    route = exposed.one("HTTPRoute", "pg-pulsegate-gateway-llmproxy")["spec"]
    assert route["hostnames"] == ["llm.example.com"]
    assert route["rules"][0]["backendRefs"] == [{"name": "pg-pulsegate-gateway", "port": 3456}]
    route = exposed.one("GRPCRoute", "pg-pulsegate-converter")["spec"]
    assert route["rules"][0]["backendRefs"] == [{"name": "pg-pulsegate-converter", "port": 50051}]


def test_only_the_gateway_and_the_health_tests_reach_grpc_ports(render):
    for backend in BACKENDS:
        policy = render().one("NetworkPolicy", f"pg-pulsegate-{backend}")["spec"]
        (rule,) = [one for one in policy["ingress"] if {"protocol": "TCP", "port": "grpc"} in one["ports"]]
        peers = [one["podSelector"]["matchLabels"][COMPONENT] for one in rule["from"]]
        assert peers == ["gateway", "test"]
        assert policy["policyTypes"] == ["Ingress", "Egress"]


def test_the_gateway_may_call_each_backend_and_nobody_else(render):
    policy = render().one("NetworkPolicy", "pg-pulsegate-gateway")["spec"]
    dns, *backends = policy["egress"]
    assert [port["port"] for port in dns["ports"]] == [53, 53]
    called = {rule["to"][0]["podSelector"]["matchLabels"][COMPONENT]: rule["ports"] for rule in backends}
    assert called.keys() == set(BACKENDS)
    for backend, ports in called.items():
        service = render().one("Service", f"pg-pulsegate-{backend}")["spec"]
        assert ports == [{"protocol": "TCP", "port": service["ports"][0]["port"]}]


def test_every_pod_has_a_network_policy(helm4: Helm):
    rendered = helm4.template(files=[CI["turn"]])
    chosen = [one["spec"]["podSelector"]["matchLabels"].items() for one in rendered.all("NetworkPolicy")]
    worn = [dict(selected(one)) for one in rendered.all("Deployment")]
    worn += [one["metadata"]["labels"] for one in rendered.all("Pod")]
    for labels in worn:
        assert any(one <= labels.items() for one in chosen)
    assert not helm4.template(files=[CI["without-network-policy"]]).all("NetworkPolicy")


def test_the_operators_port_answers_to_monitoring_only(render):
    policy = render().one("NetworkPolicy", "pg-pulsegate-gateway")["spec"]
    (rule,) = [one for one in policy["ingress"] if {"protocol": "TCP", "port": "operator"} in one["ports"]]
    assert len(rule["ports"]) == 1
    assert rule["from"]


def test_the_udp_ports_of_media_are_the_ones_the_policy_lets_in(render):
    (range_,) = pod(render(), "media")["securityContext"]["sysctls"]
    first, last = map(int, range_["value"].split())
    policy = render().one("NetworkPolicy", "pg-pulsegate-media")["spec"]
    assert {"protocol": "UDP", "port": first, "endPort": last} in [
        port for one in policy["ingress"] for port in one["ports"]
    ]
    assert "sysctls" not in pod(render({}, CI["host-network"]), "media")["securityContext"]


def test_a_disruption_budget_guards_only_what_has_more_than_one_pod(render):
    guarded = {one["metadata"]["name"] for one in render().all("PodDisruptionBudget")}
    assert guarded == {"pg-pulsegate-gateway", "pg-pulsegate-converter", "pg-pulsegate-llmproxy"}
    grown = {
        one["metadata"]["name"] for one in render({"backends": {"media": {"replicas": 2}}}).all("PodDisruptionBudget")
    }
    assert grown == guarded | {"pg-pulsegate-media"}
    assert not render({"defaults": {"podDisruptionBudget": {"enabled": False}}}).all("PodDisruptionBudget")


def test_an_autoscaled_process_leaves_its_number_to_the_autoscaler(render):
    rendered = render({}, CI["autoscaling"])
    assert "replicas" not in rendered.deployment("llmproxy")["spec"]
    assert rendered.deployment("media")["spec"]["replicas"] == 1
    target = rendered.one("HorizontalPodAutoscaler", "pg-pulsegate-llmproxy")["spec"]["scaleTargetRef"]
    assert target == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "pg-pulsegate-llmproxy"}
    assert [one["metadata"]["name"] for one in rendered.all("HorizontalPodAutoscaler")].count("pg-pulsegate-media") == 0


def test_a_rollout_never_has_fewer_pods_than_wanted(render):
    for process in PROCESSES:
        assert render().deployment(process)["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}


def test_a_disk_for_one_pod_is_let_go_before_the_next_pod_comes(render):
    rendered = render({}, CI["recordings"])
    assert rendered.deployment("media")["spec"]["strategy"] == {"type": "Recreate"}
    claim = rendered.one("PersistentVolumeClaim", "pg-pulsegate-media")
    assert claim["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    assert claim["spec"]["resources"]["requests"]["storage"] == "50Gi"
    mounts = {one["name"]: one["mountPath"] for one in rendered.container("media")["volumeMounts"]}
    assert mounts["storage"] == rendered.variables("media")["PULSEGATE_MEDIA_RECORD_DIR"]


def test_each_pod_of_the_llm_proxy_has_a_place_for_its_usage(render):
    rendered = render()
    mounts = {one["name"]: one["mountPath"] for one in rendered.container("llmproxy")["volumeMounts"]}
    assert mounts["storage"] == rendered.variables("llmproxy")["PULSEGATE_LLMPROXY_USAGE_DIR"]
    volumes = rendered.deployment("llmproxy")["spec"]["template"]["spec"]["volumes"]
    assert {"name": "storage", "emptyDir": {"sizeLimit": "512Mi"}} in volumes
    kept = render({}, CI["usage"])
    assert kept.one("PersistentVolumeClaim", "pg-pulsegate-llmproxy")["spec"]["accessModes"] == ["ReadWriteOnce"]
    assert kept.deployment("llmproxy")["spec"]["strategy"] == {"type": "Recreate"}


def test_recordings_stay_below_the_limit_beyond_which_the_pod_is_evicted(render):
    quota = "PULSEGATE_MEDIA_RECORD_QUOTA_BYTES"
    (volume,) = [one for one in pod(render(), "media")["volumes"] if one["name"] == "storage"]
    limit = int(volume["emptyDir"]["sizeLimit"].removesuffix("Gi")) << 30
    folders = 3  # of recordings, snapshots and clips, each within the quota
    assert 0 < folders * int(render().variables("media")[quota]) < 0.9 * limit
    own = {"backends": {"media": {"env": {quota: "7"}}}}
    assert render(own).variables("media")[quota] == "7"
    assert quota not in render({}, CI["recordings"]).variables("media")  # a claim is a disk with an end of its own


def test_pods_that_share_a_folder_are_replaced_one_by_one(render):
    rendered = render({}, CI["several-media"])
    assert rendered.deployment("media")["spec"]["strategy"]["type"] == "RollingUpdate"
    assert not rendered.all("PersistentVolumeClaim")  # it names one that is there
    claim = {"name": "storage", "persistentVolumeClaim": {"claimName": "recordings"}}
    assert claim in pod(rendered, "media")["volumes"]


def test_a_changed_secret_or_setting_restarts_the_pods(render):
    def checksum(values):
        return render(values).deployment("gateway")["spec"]["template"]["metadata"]["annotations"]["checksum/config"]

    before = checksum(None)
    assert checksum({"gateway": {"secret": {"values": {"CCPROXY_API_KEY": "a"}}}}) != before
    assert checksum({"gateway": {"settings": {"max_body_bytes": 1}}}) != before
    assert checksum({"gateway": {"replicas": 5}}) == before


def test_secrets_are_given_by_reference_only(render):
    rendered = render({}, CI["secrets"])
    assert rendered.container("gateway")["envFrom"] == [{"secretRef": {"name": "pg-pulsegate-gateway"}}]
    assert rendered.container("llmproxy")["envFrom"] == [{"secretRef": {"name": "provider-keys"}}]
    assert [one["metadata"]["name"] for one in rendered.all("Secret")] == ["pg-pulsegate-gateway"]
    assert "token-of-the-media-api" not in json.dumps([one for one in rendered.manifests if one["kind"] != "Secret"])


def test_a_documented_configuration_file_is_mounted_from_a_secret(render):
    rendered = render({}, CI["documents"])
    for process, secret, variable in (
        ("llmproxy", "pg-pulsegate-llmproxy-document", "CCPROXY_CONFIG"),
        ("media", "icey-config", "ICEY_CONFIG"),
    ):
        mounts = {one["name"]: one["mountPath"] for one in rendered.container(process)["volumeMounts"]}
        assert rendered.variables(process)[variable] == f"{mounts['document']}/config.json"
        assert {"name": "document", "secret": {"secretName": secret}} in pod(rendered, process)["volumes"]
    content = base64.b64decode(rendered.one("Secret", "pg-pulsegate-llmproxy-document")["data"]["config.json"])
    assert json.loads(content)["routes"]["default"]["provider"] == "anthropic"
    configuration.read(json.loads(content), {"ANTHROPIC_API_KEY": "key"})  # the process takes it


def test_coturn_shares_the_secret_and_relays_to_its_own_pod_only(render):
    rendered = render({}, CI["turn"])
    (coturn,) = [one for one in pod(rendered, "media")["containers"] if one["name"] == "coturn"]
    assert {"--use-auth-secret", "--static-auth-secret=$(TURN_SECRET)", "--realm=0state.com"} <= set(coturn["args"])
    assert coturn["env"][0]["valueFrom"]["secretKeyRef"] == {"name": "pg-pulsegate-media", "key": "ICEY_TURN_SECRET"}
    allowed = [arg for arg in coturn["args"] if arg.startswith("--allowed-peer-ip")]
    assert allowed == ["--allowed-peer-ip=$(POD_IP)"]
    denied = [arg.partition("=")[2] for arg in coturn["args"] if arg.startswith("--denied-peer-ip")]
    assert {"10.0.0.0-10.255.255.255", "169.254.0.0-169.254.255.255", "127.0.0.0-127.255.255.255"} <= set(denied)
    told = rendered.variables("media")
    assert told["PULSEGATE_MEDIA_TURN"] == "auto"
    assert told["PULSEGATE_MEDIA_TURN_EXTERNAL_IP"] == "203.0.113.50"
    assert [port["protocol"] for port in rendered.one("Service", "pg-pulsegate-media-turn")["spec"]["ports"]] == [
        "UDP",
        "TCP",
    ]
    assert render().variables("media")["PULSEGATE_MEDIA_TURN"] == "false"


def test_an_image_is_named_by_version_unless_a_digest_is_given(render):
    assert render().container("media")["image"] == "pulsegate/media:0.1.0"
    rendered = render({}, CI["everything"])
    assert rendered.container("converter")["image"] == "registry.example.org/pulsegate/converter:1.2.3"
    assert rendered.container("gateway")["image"].startswith("registry.example.org/pulsegate/gateway@sha256:0123")


def test_names_stay_within_the_limit_of_kubernetes(helm4: Helm):
    rendered = helm4.template({"fullnameOverride": "n" * 60}, [CI["turn"]])
    assert max(len(one["metadata"]["name"]) for one in rendered.manifests) <= 63


def test_what_is_scraped_carries_the_labels_the_alerts_go_by(render):
    rendered = render({}, CI["monitoring"])
    monitor = rendered.one("ServiceMonitor", "pg-pulsegate")
    wanted = monitor["spec"]["selector"]["matchLabels"].items()
    scraped = {endpoint["port"] for endpoint in monitor["spec"]["endpoints"]}
    for process in PROCESSES:
        service = rendered.one("Service", f"pg-pulsegate-{process}")
        assert wanted <= service["metadata"]["labels"].items()
        assert scraped & {port["name"] for port in service["spec"]["ports"]}
    for endpoint in monitor["spec"]["endpoints"]:
        assert {"targetLabel": "job", "replacement": "pulsegate"} in endpoint["relabelings"]
    assert rendered.one("ConfigMap", "pg-pulsegate-dashboard")["metadata"]["labels"]["grafana_dashboard"] == "1"


def test_every_process_sends_its_spans_to_a_collector_that_its_policy_lets_it_reach(render):
    rendered = render({}, CI["tracing"])
    to = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "tracing"}}}]
    for process in PROCESSES:
        told = rendered.variables(process)
        assert told["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://collector.tracing:4318"
        assert told["OTEL_TRACES_SAMPLER_ARG"] == "0.1"
        egress = rendered.one("NetworkPolicy", f"pg-pulsegate-{process}")["spec"]["egress"]
        assert {"ports": [{"protocol": "TCP", "port": 4318}], "to": to} in egress
        assert not [name for name in render().variables(process) if name.startswith("OTEL_")]


@pytest.mark.parametrize(("endpoint", "port"), [("https://traces.example", 443), ("http://traces.example/otlp", 80)])
def test_the_port_of_a_collector_is_that_of_its_scheme_unless_said(render, endpoint, port):
    egress = render({"tracing": {"endpoint": endpoint}}).one("NetworkPolicy", "pg-pulsegate-media")["spec"]["egress"]
    assert [{"protocol": "TCP", "port": port}] in [rule["ports"] for rule in egress]


def test_extra_manifests_are_rendered_as_maps_and_as_text(render):
    rendered = render({}, CI["everything"])
    assert rendered.one("ConfigMap", "more")["data"] == {"release": "pg"}
    assert rendered.one("ConfigMap", "pg-text")


def notes(helm: Helm, *values):
    files = [part for one in values for part in ("--values", one)]
    flags = ["--dry-run=client", "--namespace", "ns", "--kubeconfig", "/dev/null"]
    return run(helm.program, "install", "pg", CHART, *flags, *files).stdout.partition("NOTES:")[2]


def test_the_notes_name_commands_that_fit_the_release(helm4: Helm):
    told = notes(helm4)
    for line in (
        "  kubectl -n ns port-forward service/pg-pulsegate-gateway 8080 &",
        "  curl -s --retry 9 --retry-connrefused http://localhost:3456/status",
        "  helm test pg -n ns",
    ):
        assert line in told.splitlines()
    assert "No CCPROXY_API_KEY is set" in told
    assert "TOKEN" not in told.replace("ICEY_AUTH_TOKEN", "")


def test_the_notes_speak_tls_and_show_the_tokens_that_a_release_asks_for(helm4: Helm, tmp_path):
    closed = {
        "tls": {"ports": ["media", "operator"]},
        "service": {"type": "NodePort"},
        "secret": {"values": {"PULSEGATE_GATEWAY_OPERATOR_TOKEN": "token-of-the-operators"}},
    }
    more = tmp_path / "values.json"
    more.write_text(json.dumps({"gateway": closed}))
    told = notes(helm4, CI["secrets"], CI["recordings"], more)
    read = "TOKEN=$(kubectl -n ns get secret pg-pulsegate-gateway -o jsonpath='{.data.KEY}' | base64 -d)"
    curl = "curl -sk --retry 9 --retry-connrefused"
    for line in (
        "  kubectl -n ns port-forward service/pg-pulsegate-gateway-operator 8080 &",
        f"  {curl} https://localhost:8080/readyz",
        f"  {read.replace('KEY', 'PULSEGATE_GATEWAY_OPERATOR_TOKEN')}",
        f'  {curl} -H "Authorization: Bearer $TOKEN" https://localhost:8080/api/services',
        f"  {read.replace('KEY', 'ICEY_AUTH_TOKEN')}",
        f'  {curl} -H "Authorization: Bearer $TOKEN" https://localhost:4500/api/status',
    ):
        assert line in told.splitlines()
    assert "is set, so" not in told
    assert "is kept in the claim pg-pulsegate-media, which stays when the release is uninstalled." in told
