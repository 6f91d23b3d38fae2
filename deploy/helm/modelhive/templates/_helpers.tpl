{{/* Names and labels. A service is passed about as (dict "root" $ "name" "edge" "it" <its entry>). */}}

{{- define "modelhive.fullname" -}}
{{- /* short enough for the longest name that follows, of a job with its revision */ -}}
{{- $release := .Release.Name | trunc 26 | trimSuffix "-" -}}
{{- if contains "modelhive" $release }}{{ $release }}{{ else }}{{ printf "%s-modelhive" $release }}{{ end -}}
{{- end }}

{{- define "modelhive.labels" -}}
app.kubernetes.io/name: modelhive
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .name }}
app.kubernetes.io/part-of: modelhive
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{- define "modelhive.selector" -}}
app.kubernetes.io/name: modelhive
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .name }}
{{- end }}

{{/* The service's entry with what `defaults` says where it says nothing. */}}
{{- define "modelhive.entry" -}}
{{- toYaml (merge (deepCopy .it) .root.Values.defaults) -}}
{{- end }}

{{- define "modelhive.image" -}}
{{- $image := .root.Values.image -}}
{{- $name := .name -}}
{{- if and (eq $name "routing") .root.Values.localModels }}{{ $name = "routing-local" }}{{ end -}}
{{- with $image.registry }}{{ . }}/{{ end }}{{ $image.repository }}/{{ $name }}:{{ $image.tag | default .root.Chart.AppVersion }}
{{- end }}

{{- define "modelhive.secretName" -}}
{{- .Values.secrets.existing | default (printf "%s-secrets" (include "modelhive.fullname" .)) -}}
{{- end }}

{{/* Which setting says where a dependency is, and its URL where that is no secret. */}}
{{- define "modelhive.setting" -}}
{{- get (dict "kafka" "HIVE_BUS_URL" "postgres" "HIVE_SQL_URL" "valkey" "HIVE_CACHE_URL" "clickhouse" "HIVE_OLAP_URL" "blobs" "HIVE_BLOB_URL") . -}}
{{- end }}

{{/* "yes" where the chart itself brings what is needed. Those with passwords come with the chart's own secret. */}}
{{- define "modelhive.bundles" -}}
{{- $ours := not .root.Values.secrets.existing -}}
{{- if and .root.Values.bundled.enabled (not (get .root.Values .need).url) (or $ours (not (has .need (list "postgres" "clickhouse")))) }}yes{{ end -}}
{{- end }}

{{- define "modelhive.url" -}}
{{- $fullname := include "modelhive.fullname" .root -}}
{{- $given := (get .root.Values .need).url -}}
{{- if $given }}{{ $given }}
{{- else if include "modelhive.bundles" . }}
{{- if eq .need "kafka" }}kafka://{{ $fullname }}-kafka:9092
{{- else if eq .need "valkey" }}redis://{{ $fullname }}-valkey:6379/0
{{- else if eq .need "blobs" }}file:///blobs
{{- end }}
{{- end }}
{{- end }}

{{/* Names of the files that a service finds in its folder of secrets, as a JSON list. */}}
{{- define "modelhive.secretFiles" -}}
{{- $root := .root -}}
{{- $files := .secrets | default list -}}
{{- range $need := .needs -}}
{{- if not (include "modelhive.url" (dict "root" $root "need" $need)) -}}
{{- $files = append $files (include "modelhive.setting" $need | lower) -}}
{{- end -}}
{{- end -}}
{{- toJson (sortAlpha $files) -}}
{{- end }}

{{/* Variables of a container, each once: `fixed` by the chart, then the settings of the whole, then the service's own. */}}
{{- define "modelhive.env" -}}
{{- $root := .root -}}
{{- $variables := .fixed | default dict -}}
{{- range $need := .needs -}}
{{- with include "modelhive.url" (dict "root" $root "need" $need) }}{{ $_ := set $variables (include "modelhive.setting" $need) . }}{{ end -}}
{{- end -}}
{{- if .secretFiles }}{{ $_ := set $variables "HIVE_SECRETS_DIR" "/etc/modelhive/secrets" }}{{ end -}}
{{- range $settings := list $root.Values.settings (.settings | default dict) -}}
{{- range $name, $value := $settings }}{{ $_ := set $variables $name $value }}{{ end -}}
{{- end -}}
{{- range $name, $value := $variables }}
- name: {{ $name }}
  value: {{ $value | toString | quote }}
{{- end -}}
{{- end }}

{{- define "modelhive.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities: {drop: [ALL]}
{{- end }}

{{- define "modelhive.secretVolume" -}}
- name: secrets
  secret:
    secretName: {{ include "modelhive.secretName" .root }}
    defaultMode: 0440
    items:
      {{- range .files }}
      - {key: {{ . }}, path: {{ . }}}
      {{- end }}
{{- end }}

{{/* kafka://a:9092,b:9092?… as KEDA wants it. */}}
{{- define "modelhive.bootstrapServers" -}}
{{- $url := include "modelhive.url" (dict "root" . "need" "kafka") -}}
{{- $found := .Values.keda.bootstrapServers | default (regexReplaceAll "^kafka(\\+ssl)?://([^@]*@)?([^?/]*).*$" $url "${3}") -}}
{{- $found | required "keda.enabled: say keda.bootstrapServers, since kafka.url is in a secret" -}}
{{- end }}
