{{/* The variables the chart decides, as a map name → value, put into a map; takes the process and into. */}}
{{- define "pulsegate.variables" -}}
{{- $v := .process.values }}
{{- $prefix := printf "PULSEGATE_%s" (upper .process.name | replace "-" "_") }}
{{- with .process.root.Values.tracing }}
{{- if .endpoint }}
{{- $_ := set $.into "OTEL_EXPORTER_OTLP_ENDPOINT" .endpoint }}
{{- $_ := set $.into "OTEL_RESOURCE_ATTRIBUTES" (printf "service.namespace=%s,k8s.namespace.name=%s" $.process.root.Release.Name $.process.root.Release.Namespace) }}
{{- $_ := set $.into "OTEL_TRACES_SAMPLER" "parentbased_traceidratio" }}
{{- $_ := set $.into "OTEL_TRACES_SAMPLER_ARG" (toString .ratio) }}
{{- end }}
{{- end }}
{{- range $name, $value := $v.env }}{{ $_ := set $.into $name (toString $value) }}{{ end }}
{{- $_ := set .into (printf "%s_LOG_LEVEL" $prefix) $v.logLevel }}
{{- $_ := set .into (printf "%s_DRAIN_SECONDS" $prefix) (toString $v.shutdown.drainSeconds) }}
{{- $_ := set .into (printf "%s_GRACE_SECONDS" $prefix) (toString $v.shutdown.graceSeconds) }}
{{- if .process.root.Values.tls.enabled }}
{{- $_ := set .into (printf "%s_GRPC_CERTIFICATE" $prefix) "/etc/pulsegate-tls/tls.crt" }}
{{- $_ := set .into (printf "%s_GRPC_KEY" $prefix) "/etc/pulsegate-tls/tls.key" }}
{{- $_ := set .into (printf "%s_GRPC_AUTHORITY" $prefix) "/etc/pulsegate-tls/ca.crt" }}
{{- end }}
{{- if $v.settings }}{{ $_ := set .into "PULSEGATE_CONFIG" "/etc/pulsegate/settings.json" }}{{ end }}
{{- if .process.gateway }}
{{- $_ := set .into (printf "%s_HOST" $prefix) "0.0.0.0" }}
{{- range $facade, $port := $v.ports }}{{ $_ := set $.into (printf "%s_%s_PORT" $prefix (upper $facade | replace "-" "_")) (toString $port) }}{{ end }}
{{- range $v.tls.ports }}
{{- $_ := set $.into (printf "%s_%s_TLS_CERTIFICATE" $prefix (upper . | replace "-" "_")) "/etc/pulsegate-rest-tls/tls.crt" }}
{{- $_ := set $.into (printf "%s_%s_TLS_KEY" $prefix (upper . | replace "-" "_")) "/etc/pulsegate-rest-tls/tls.key" }}
{{- end }}
{{- range $name, $backend := .process.root.Values.backends }}
{{- if ne $backend.enabled false }}
{{- $_ := set $.into (printf "%s_%s_TARGET" $prefix (upper $name | replace "-" "_")) (include "pulsegate.target" (dict "root" $.process.root "name" $name "port" $backend.grpcPort)) }}
{{- end }}
{{- end }}
{{- else }}
{{- $_ := set .into (printf "%s_ADDRESS" $prefix) (printf "0.0.0.0:%v" $v.grpcPort) }}
{{- $_ := set .into (printf "%s_METRICS_ADDRESS" $prefix) ($v.metricsPort | empty | ternary "" (printf "0.0.0.0:%v" $v.metricsPort)) }}
{{- with $v.storage }}
{{- $_ := set $.into .variable .path }}
{{- if not .claim.enabled }}
{{- range $name, $value := .ephemeralVariables }}{{ if not (hasKey $v.env $name) }}{{ $_ := set $.into $name (toString $value) }}{{ end }}{{ end }}
{{- end }}
{{- end }}
{{- if include "pulsegate.documentSecret" .process }}{{ $_ := set .into $v.document.variable "/etc/pulsegate-document/config.json" }}{{ end }}
{{- with $v.turn }}
{{- $_ := set $.into (printf "%s_TURN" $prefix) (.enabled | ternary "auto" "false") }}
{{- if .enabled }}
{{- $_ := set $.into (printf "%s_TURN_PORT" $prefix) (toString .port) }}
{{- with .externalAddress }}{{ $_ := set $.into (printf "%s_TURN_EXTERNAL_IP" $prefix) . }}{{ end }}
{{- end }}
{{- end }}
{{- range $port := $v.ports }}{{ with $port.addressVariable }}{{ $_ := set $.into . (printf "0.0.0.0:%v" $port.port) }}{{ end }}{{ end }}
{{- end }}
{{- end }}

{{/* The handler of one probe; takes process and kind. */}}
{{- define "pulsegate.probeHandler" -}}
{{- $v := .process.values }}
{{- $probe := get $v.probes .kind }}
{{- $mode := include "pulsegate.probeMode" .process }}
{{- if eq $mode "grpc" }}
grpc:
  port: {{ $v.grpcPort }}
  service: {{ $probe.service }}
{{- else if eq $mode "exec" }}
{{- $half := div (sub $probe.timeoutSeconds 1) 2 }}
exec:
  command:
    - pulsegate
    - healthcheck
    - -addr=localhost:{{ $v.grpcPort }}
    - -service={{ $probe.service }}
    - -connect-timeout={{ $half }}s
    - -rpc-timeout={{ $half }}s
    {{- include "pulsegate.healthCheckTls" .process | nindent 4 }}
{{- else }}
httpGet:
  path: {{ $probe.path }}
  port: {{ $probe.port }}
  {{- if has $probe.port $v.tls.ports }}
  scheme: HTTPS
  {{- end }}
{{- end }}
periodSeconds: {{ $probe.periodSeconds }}
timeoutSeconds: {{ $probe.timeoutSeconds }}
failureThreshold: {{ $probe.failureThreshold }}
{{- end }}

{{- define "pulsegate.probes" -}}
{{- if eq .values.probes.mode "custom" }}
{{- toYaml .values.probes.custom }}
{{- else if ne .values.probes.mode "none" }}
{{- range $kind := list "startup" "liveness" "readiness" }}
{{ $kind }}Probe:
  {{- include "pulsegate.probeHandler" (dict "process" $ "kind" $kind) | trim | nindent 2 }}
{{- end }}
{{- end }}
{{- end }}

{{- define "pulsegate.containerPorts" -}}
{{- if .gateway }}
{{- range $facade, $port := .values.ports }}
- {name: {{ $facade }}, containerPort: {{ $port }}}
{{- end }}
{{- else }}
- {name: grpc, containerPort: {{ .values.grpcPort }}}
{{- with .values.metricsPort }}
- {name: metrics, containerPort: {{ . }}}
{{- end }}
{{- range $name, $port := .values.ports }}
{{- range $port.protocols }}
- {name: {{ $name }}-{{ lower . }}, containerPort: {{ $port.port }}, protocol: {{ . }}}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* coturn with the credentials of the media contract: time-limited, minted from the shared secret. */}}
{{- define "pulsegate.coturn" -}}
{{- $turn := .values.turn }}
- name: coturn
  image: {{ include "pulsegate.imageName" (dict "image" $turn.image "repository" "" "tag" "") }}
  imagePullPolicy: {{ $turn.image.pullPolicy }}
  command: [turnserver]
  args:
    - -n
    - --listening-port={{ $turn.port }}
    - --realm={{ $turn.realm }}
    - --use-auth-secret
    - --static-auth-secret=$(TURN_SECRET)
    - --fingerprint
    - --min-port={{ $turn.relayPorts.from }}
    - --max-port={{ $turn.relayPorts.to }}
    - --stale-nonce=600
    - --user-quota=12
    - --total-quota=1200
    - --no-cli
    - --no-tls
    - --no-dtls
    - --no-multicast-peers
    - --log-file=stdout
    - --pidfile=/tmp/turnserver.pid
    - --userdb=/tmp/turndb
    # It relays to the media process and to nothing else that only this pod can reach.
    - --allowed-peer-ip=$(POD_IP)
    {{- range $turn.allowedPeers }}
    - --allowed-peer-ip={{ . }}
    {{- end }}
    {{- range list "0.0.0.0-0.255.255.255" "10.0.0.0-10.255.255.255" "100.64.0.0-100.127.255.255" "127.0.0.0-127.255.255.255" "169.254.0.0-169.254.255.255" "172.16.0.0-172.31.255.255" "192.168.0.0-192.168.255.255" "::1" "fc00::-fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff" "fe80::-febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff" }}
    - --denied-peer-ip={{ . }}
    {{- end }}
  env:
    - name: TURN_SECRET
      valueFrom:
        secretKeyRef: {name: {{ include "pulsegate.secretName" . }}, key: ICEY_TURN_SECRET}
    - name: POD_IP
      valueFrom:
        fieldRef: {fieldPath: status.podIP}
  ports:
    - {name: turn-udp, containerPort: {{ $turn.port }}, protocol: UDP}
    - {name: turn-tcp, containerPort: {{ $turn.port }}, protocol: TCP}
  readinessProbe:
    tcpSocket: {port: turn-tcp}
  livenessProbe:
    tcpSocket: {port: turn-tcp}
    periodSeconds: 20
    timeoutSeconds: 5
  # Its image gives the program this one capability (Pod Security restricted allows it); without it exec itself fails.
  securityContext:
    {{- $context := deepCopy .values.securityContext }}
    {{- include "pulsegate.overlay" (dict "base" $context "over" (dict "capabilities" (dict "add" (list "NET_BIND_SERVICE")))) }}
    {{- toYaml $context | nindent 4 }}
  resources:
    {{- toYaml $turn.resources | nindent 4 }}
  volumeMounts:
    - {name: tmp, mountPath: /tmp}
{{- end }}

{{/* The pod of one process. */}}
{{- define "pulsegate.pod" -}}
{{- $v := .values }}
{{- $variables := dict }}
{{- include "pulsegate.variables" (dict "process" . "into" $variables) }}
metadata:
  labels:
    {{- include "pulsegate.podLabels" . | nindent 4 }}
    {{- with $v.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    kubectl.kubernetes.io/default-container: {{ .name }}
    {{- with dict "settings" $v.settings "secret" $v.secret.values "document" $v.document }}
    checksum/config: {{ toJson . | sha256sum }}
    {{- end }}
    {{- with $v.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "pulsegate.serviceAccountName" . }}
  automountServiceAccountToken: false
  # Kubernetes would add variables like PULSEGATE_GATEWAY_PORT=tcp://…, which are settings of ours.
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ $v.shutdown.terminationGracePeriodSeconds }}
  {{- with .root.Values.imagePullSecrets }}
  imagePullSecrets:
    {{- range . }}
    - name: {{ . }}
    {{- end }}
  {{- end }}
  {{- with $v.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- if $v.hostNetwork }}
  hostNetwork: true
  dnsPolicy: ClusterFirstWithHostNet
  {{- end }}
  {{- if .gateway }}
  dnsConfig:
    options:
      # Backends are looked up by their whole name, often; no search list first.
      - {name: ndots, value: "2"}
  {{- end }}
  securityContext:
    {{- toYaml $v.podSecurityContext | nindent 4 }}
    {{- if and $v.udpPorts (not $v.hostNetwork) }}
    sysctls:
      - {name: net.ipv4.ip_local_port_range, value: "{{ $v.udpPorts.from }} {{ $v.udpPorts.to }}"}
    {{- end }}
  {{- with $v.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $v.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $v.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if $v.topologySpread.enabled }}
  topologySpreadConstraints:
    {{- range $v.topologySpread.topologyKeys }}
    - maxSkew: {{ $v.topologySpread.maxSkew }}
      topologyKey: {{ . }}
      whenUnsatisfiable: {{ $v.topologySpread.whenUnsatisfiable }}
      labelSelector:
        matchLabels:
          {{- include "pulsegate.selectorLabels" $ | nindent 10 }}
      matchLabelKeys: [pod-template-hash]
    {{- end }}
  {{- end }}
  containers:
    - name: {{ .name }}
      image: {{ include "pulsegate.image" . }}
      imagePullPolicy: {{ $v.image.pullPolicy }}
      command: [pulsegate, {{ .name }}]
      env:
        {{- range $name, $value := $variables }}
        - {name: {{ $name }}, value: {{ $value | quote }}}
        {{- end }}
      {{- if or (include "pulsegate.secretName" .) $v.envFrom }}
      envFrom:
        {{- with include "pulsegate.secretName" . }}
        - secretRef: {name: {{ . }}}
        {{- end }}
        {{- with $v.envFrom }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- end }}
      ports:
        {{- include "pulsegate.containerPorts" . | trim | nindent 8 }}
      {{- with include "pulsegate.probes" . | trim }}
      {{- . | nindent 6 }}
      {{- end }}
      {{- with $v.shutdown.preStopSeconds }}
      lifecycle:
        preStop:
          sleep: {seconds: {{ . }}}
      {{- end }}
      securityContext:
        {{- toYaml $v.securityContext | nindent 8 }}
      resources:
        {{- toYaml $v.resources | nindent 8 }}
      volumeMounts:
        - {name: tmp, mountPath: /tmp}
        {{- if .root.Values.tls.enabled }}
        - {name: tls, mountPath: /etc/pulsegate-tls, readOnly: true}
        {{- end }}
        {{- if and .gateway $v.tls.ports }}
        - {name: rest-tls, mountPath: /etc/pulsegate-rest-tls, readOnly: true}
        {{- end }}
        {{- if $v.settings }}
        - {name: settings, mountPath: /etc/pulsegate, readOnly: true}
        {{- end }}
        {{- if include "pulsegate.documentSecret" . }}
        - {name: document, mountPath: /etc/pulsegate-document, readOnly: true}
        {{- end }}
        {{- with $v.storage }}
        - {name: storage, mountPath: {{ .path }}}
        {{- end }}
        {{- with $v.volumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    {{- if and $v.turn $v.turn.enabled }}
    {{- include "pulsegate.coturn" . | nindent 4 }}
    {{- end }}
    {{- with $v.extraContainers }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  volumes:
    - name: tmp
      emptyDir: {sizeLimit: 256Mi}
    {{- if .root.Values.tls.enabled }}
    - name: tls
      secret: {secretName: {{ include "pulsegate.tlsSecret" . }}}
    {{- end }}
    {{- if and .gateway $v.tls.ports }}
    - name: rest-tls
      secret: {secretName: {{ include "pulsegate.restTlsSecret" . }}}
    {{- end }}
    {{- if $v.settings }}
    - name: settings
      configMap: {name: {{ include "pulsegate.processName" . }}}
    {{- end }}
    {{- with include "pulsegate.documentSecret" . }}
    - name: document
      secret: {secretName: {{ . }}}
    {{- end }}
    {{- with $v.storage }}
    - name: storage
      {{- if .claim.enabled }}
      persistentVolumeClaim: {claimName: {{ .claim.existing | default (include "pulsegate.processName" $) }}}
      {{- else }}
      emptyDir: {sizeLimit: {{ .ephemeralLimit }}}
      {{- end }}
    {{- end }}
    {{- with $v.volumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end }}
