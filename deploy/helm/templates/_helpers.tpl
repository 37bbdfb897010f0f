{{- define "pulsegate.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{/* Short enough that every suffix of ours still fits into 63 characters. */}}
{{- define "pulsegate.fullname" -}}
{{- if .Values.fullnameOverride }}{{ .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else if contains (include "pulsegate.name" .) .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}{{ printf "%s-%s" .Release.Name (include "pulsegate.name" .) | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* The name of what belongs to one process; takes root and name. */}}
{{- define "pulsegate.processName" -}}
{{ include "pulsegate.fullname" .root }}-{{ .name }}
{{- end }}

{{/* What never changes, since a Deployment's selector cannot; takes root and name. */}}
{{- define "pulsegate.selectorLabels" -}}
app.kubernetes.io/name: {{ include "pulsegate.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .name }}
{{- end }}

{{- define "pulsegate.labels" -}}
{{ include "pulsegate.selectorLabels" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: {{ .root.Chart.Name }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* What a pod wears; the chart's own version is left out, or every release of the chart would restart every pod. */}}
{{- define "pulsegate.podLabels" -}}
{{ include "pulsegate.selectorLabels" . }}
app.kubernetes.io/version: {{ .values.image.tag | default .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: {{ .root.Chart.Name }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The metadata of an object; takes root, name, and if wanted object (its whole name), labels, annotations. */}}
{{- define "pulsegate.metadata" -}}
name: {{ .object | default (include "pulsegate.processName" .) }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "pulsegate.labels" . | nindent 2 }}
  {{- with .labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with merge (dict) (.annotations | default dict) .root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Lay one map over another, key by key, in place; unlike mergeOverwrite it lets false, 0 and "" win. */}}
{{- define "pulsegate.overlay" -}}
{{- range $key, $value := .over }}
{{- $below := get $.base $key }}
{{- if and (kindIs "map" $value) (kindIs "map" $below) }}{{ include "pulsegate.overlay" (dict "base" $below "over" $value) }}
{{- else if kindIs "invalid" $value }}{{ $_ := unset $.base $key }}
{{- else }}{{ $_ := set $.base $key $value }}
{{- end }}
{{- end }}
{{- end }}

{{/* Put every process with its complete values into a map: the gateway and each enabled backend; takes root and into. */}}
{{- define "pulsegate.processes" -}}
{{- $wanted := dict "gateway" .root.Values.gateway }}
{{- range $name, $backend := .root.Values.backends }}
{{- if ne $backend.enabled false }}{{ $_ := set $wanted $name $backend }}{{ end }}
{{- end }}
{{- range $name, $own := $wanted }}
{{- $values := deepCopy $.root.Values.defaults }}
{{- include "pulsegate.overlay" (dict "base" $values "over" (deepCopy $own)) }}
{{- $process := dict "root" $.root "name" $name "values" $values "gateway" (eq $name "gateway") }}
{{- include "pulsegate.check" $process }}
{{- $_ := set $.into $name $process }}
{{- end }}
{{- end }}

{{/* Refuse what would render and then misbehave. */}}
{{- define "pulsegate.check" -}}
{{- $v := .values }}
{{- $s := $v.shutdown }}
{{- $needed := add $s.preStopSeconds $s.drainSeconds $s.graceSeconds 5 }}
{{- if gt $needed (int64 $s.terminationGracePeriodSeconds) }}
{{- fail (printf "%s.shutdown: preStopSeconds %v + drainSeconds %v + graceSeconds %v + 5 = %v does not fit into terminationGracePeriodSeconds %v" .name $s.preStopSeconds $s.drainSeconds $s.graceSeconds $needed $s.terminationGracePeriodSeconds) }}
{{- end }}
{{- if eq (include "pulsegate.probeMode" .) "exec" }}
{{- range $kind := list "startup" "liveness" "readiness" }}
{{- $probe := get $v.probes $kind }}
{{- if lt (int $probe.timeoutSeconds) 3 }}{{ fail (printf "%s.probes.%s.timeoutSeconds: mode exec needs 3 or more, or the kubelet kills the check before it can say why" $.name $kind) }}{{ end }}
{{- end }}
{{- end }}
{{- if and (eq $v.probes.mode "http") (not .gateway) }}{{ fail (printf "backends.%s.probes.mode: a backend has no HTTP listener to probe" .name) }}{{ end }}
{{- if and (has $v.probes.mode (list "grpc" "exec")) .gateway }}{{ fail "gateway.probes.mode: the gateway has no gRPC listener to probe" }}{{ end }}
{{- if .gateway }}
{{- range $v.tls.ports }}{{ include "pulsegate.requireFacade" (dict "root" $.root "facade" . "where" "gateway.tls.ports") }}{{ end }}
{{- end }}
{{- if not (or $v.rollout.maxSurge $v.rollout.maxUnavailable) }}{{ fail (printf "%s.rollout: maxSurge and maxUnavailable cannot both be 0" .name) }}{{ end }}
{{- with $v.autoscaling }}
{{- if and .enabled (gt (int .minReplicas) (int .maxReplicas)) }}{{ fail (printf "%s.autoscaling: minReplicas %v is more than maxReplicas %v" $.name .minReplicas .maxReplicas) }}{{ end }}
{{- if and .enabled (not (or .cpu .memory .metrics)) }}{{ fail (printf "%s.autoscaling: nothing to scale by; set cpu, memory or metrics" $.name) }}{{ end }}
{{- end }}
{{- with $v.turn }}
{{- if .enabled }}
{{- if not (or $v.secret.existing (hasKey $v.secret.values "ICEY_TURN_SECRET")) }}{{ fail (printf "backends.%s.turn: needs ICEY_TURN_SECRET in secret.values or in the Secret named by secret.existing" $.name) }}{{ end }}
{{- if and (gt (int (include "pulsegate.most" $)) 1) (not .allowedPeers) }}{{ fail (printf "backends.%s.turn.allowedPeers: with several pods name the network of the pods, for instance 10.244.0.0-10.244.255.255" $.name) }}{{ end }}
{{- end }}
{{- end }}
{{- with $v.storage }}
{{- if and .claim.enabled (gt (int (include "pulsegate.most" $)) 1) }}
{{- if not .shared }}{{ fail (printf "backends.%s.storage.claim: pods cannot share this folder; run one, or let each keep its own" $.name) }}{{ end }}
{{- if not (has "ReadWriteMany" .claim.accessModes) }}{{ fail (printf "backends.%s.storage.claim: %s serves one pod only; use ReadWriteMany or run one" $.name (join ", " .claim.accessModes)) }}{{ end }}
{{- end }}
{{- end }}
{{- end }}

{{/* How the kubelet asks: it speaks no TLS to a gRPC port, so with certificates the health check runs in the pod. */}}
{{- define "pulsegate.probeMode" -}}
{{- if and .root.Values.tls.enabled (eq .values.probes.mode "grpc") }}exec{{ else }}{{ .values.probes.mode }}{{ end }}
{{- end }}

{{- define "pulsegate.tlsSecret" -}}
{{ get .root.Values.tls.secrets .name | default (printf "%s-tls" (include "pulsegate.processName" .)) }}
{{- end }}

{{/* How a listener of the gateway is called; takes process and port. */}}
{{- define "pulsegate.scheme" -}}
{{ if has .port .process.values.tls.ports }}https{{ else }}http{{ end }}
{{- end }}

{{/* The Service with the operator's port, which is not exposed with the rest; takes the gateway. */}}
{{- define "pulsegate.operatorService" -}}
{{ include "pulsegate.processName" . }}{{ if not (or (eq .values.service.type "ClusterIP") .values.service.exposeOperator) }}-operator{{ end }}
{{- end }}

{{- define "pulsegate.operatorUrl" -}}
{{ include "pulsegate.scheme" (dict "process" . "port" "operator") }}://{{ include "pulsegate.operatorService" . }}:{{ .values.ports.operator }}
{{- end }}

{{- define "pulsegate.restTlsSecret" -}}
{{ .values.tls.secret | default (printf "%s-rest-tls" (include "pulsegate.processName" .)) }}
{{- end }}

{{/* The name in a process's certificate. */}}
{{- define "pulsegate.serverName" -}}
{{ include "pulsegate.processName" . }}.{{ .root.Release.Namespace }}.svc.{{ .root.Values.clusterDomain }}
{{- end }}

{{/* The flags by which the health check proves itself, with the process's own certificate. */}}
{{- define "pulsegate.healthCheckTls" -}}
{{- if .root.Values.tls.enabled }}
- -tls
- -tls-ca-cert=/etc/pulsegate-tls/ca.crt
- -tls-client-cert=/etc/pulsegate-tls/tls.crt
- -tls-client-key=/etc/pulsegate-tls/tls.key
- -tls-server-name={{ include "pulsegate.serverName" . }}
{{- end }}
{{- end }}

{{/* How many pods a process has at least, and at most. */}}
{{- define "pulsegate.fewest" -}}
{{- if .values.autoscaling.enabled }}{{ int .values.autoscaling.minReplicas }}{{ else }}{{ int .values.replicas }}{{ end }}
{{- end }}

{{- define "pulsegate.most" -}}
{{- if .values.autoscaling.enabled }}{{ int .values.autoscaling.maxReplicas }}{{ else }}{{ int .values.replicas }}{{ end }}
{{- end }}

{{/* Not empty when a pod must let go of its folder before the next one can have it. */}}
{{- define "pulsegate.exclusive" -}}
{{- with .values.storage }}
{{- if and .claim.enabled (not (and .shared (has "ReadWriteMany" .claim.accessModes))) }}yes{{ end }}
{{- end }}
{{- end }}

{{/* A complete image name; takes image, repository, tag. */}}
{{- define "pulsegate.imageName" -}}
{{- with .image.registry }}{{ . }}/{{ end }}
{{- .image.repository | default .repository }}
{{- if .image.digest }}@{{ .image.digest }}{{ else }}:{{ .image.tag | default .tag }}{{ end }}
{{- end }}

{{- define "pulsegate.image" -}}
{{ include "pulsegate.imageName" (dict "image" .values.image "repository" (printf "pulsegate/%s" .name) "tag" .root.Chart.AppVersion) }}
{{- end }}

{{- define "pulsegate.secretName" -}}
{{- if .values.secret.existing }}{{ .values.secret.existing }}{{ else if .values.secret.values }}{{ include "pulsegate.processName" . }}{{ end }}
{{- end }}

{{/* The Secret with the documented configuration file, if there is one. */}}
{{- define "pulsegate.documentSecret" -}}
{{- with .values.document }}
{{- if .existing }}{{ .existing }}{{ else if .content }}{{ include "pulsegate.processName" $ }}-document{{ end }}
{{- end }}
{{- end }}

{{- define "pulsegate.serviceAccountName" -}}
{{- .values.serviceAccount.name | default (.values.serviceAccount.create | ternary (include "pulsegate.processName" .) "default") }}
{{- end }}

{{/* Where the gateway finds a backend; takes root, name, port. */}}
{{- define "pulsegate.target" -}}
dns:///{{ include "pulsegate.serverName" . }}:{{ .port }}
{{- end }}

{{/* Refuse an object whose kind the cluster does not know; takes root, api, flag. */}}
{{- define "pulsegate.requireApi" -}}
{{- if not (.root.Capabilities.APIVersions.Has .api) }}
{{- fail (printf "%s: the cluster has no %s; install its CRDs first (helm template: --api-versions %s)" .flag .api .api) }}
{{- end }}
{{- end }}
