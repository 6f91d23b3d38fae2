{{/* One server as a StatefulSet of one pod and its Service:
(dict "root" $ "name" "kafka" "it" .Values.bundled.kafka "user" 1000 "port" 9092 "mount" "/var/lib/…" "env" … "probe" … "args" …) */}}
{{- define "modelhive.bundled" -}}
{{- $fullname := include "modelhive.fullname" .root }}
apiVersion: v1
kind: Service
metadata:
  name: {{ $fullname }}-{{ .name }}
  labels: {{- include "modelhive.labels" . | nindent 4 }}
spec:
  selector: {{- include "modelhive.selector" . | nindent 4 }}
  ports:
    - {name: {{ .name }}, port: {{ .port }}, targetPort: server}
---
apiVersion: apps/v1
kind: StatefulSet
metadata:
  name: {{ $fullname }}-{{ .name }}
  labels: {{- include "modelhive.labels" . | nindent 4 }}
spec:
  replicas: 1
  serviceName: {{ $fullname }}-{{ .name }}
  selector:
    matchLabels: {{- include "modelhive.selector" . | nindent 6 }}
  template:
    metadata:
      labels: {{- include "modelhive.selector" . | nindent 8 }}
    spec:
      automountServiceAccountToken: false
      enableServiceLinks: false
      terminationGracePeriodSeconds: 60
      securityContext:
        runAsNonRoot: true
        runAsUser: {{ .user }}
        runAsGroup: {{ .user }}
        fsGroup: {{ .user }}
        fsGroupChangePolicy: OnRootMismatch
        seccompProfile: {type: RuntimeDefault}
      {{- with .root.Values.defaults.nodeSelector }}
      nodeSelector: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .root.Values.defaults.tolerations }}
      tolerations: {{- toYaml . | nindent 8 }}
      {{- end }}
      containers:
        - name: {{ .name }}
          image: {{ .it.image | quote }}
          {{- with .args }}
          args: {{- toYaml . | nindent 12 }}
          {{- end }}
          securityContext: # its own scripts write beside the data, so the root is not read-only
            allowPrivilegeEscalation: false
            runAsNonRoot: true
            capabilities: {drop: [ALL]}
          {{- with .env }}
          env: {{- toYaml . | nindent 12 }}
          {{- end }}
          ports:
            - {name: server, containerPort: {{ .port }}}
          startupProbe:
            {{- toYaml .probe | nindent 12 }}
            periodSeconds: 5
            timeoutSeconds: 10
            failureThreshold: 60
          readinessProbe:
            {{- toYaml .probe | nindent 12 }}
            periodSeconds: 10
            timeoutSeconds: 10
          resources: {{- toYaml .it.resources | nindent 12 }}
          {{- if .it.storage }}
          volumeMounts:
            - {name: data, mountPath: {{ .mount }}}
          {{- end }}
  {{- if .it.storage }}
  volumeClaimTemplates:
    - metadata:
        name: data
        labels: {{- include "modelhive.selector" . | nindent 10 }}
      spec:
        accessModes: [ReadWriteOnce]
        {{- with .root.Values.bundled.storageClass }}
        storageClassName: {{ . }}
        {{- end }}
        resources: {requests: {storage: {{ .it.storage }}}}
  {{- end }}
{{- end }}
