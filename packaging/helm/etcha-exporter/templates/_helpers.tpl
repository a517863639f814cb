{{- define "etcha-exporter.selector" -}}
app.kubernetes.io/name: etcha-exporter
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}
{{- define "etcha-exporter.labels" -}}
{{ include "etcha-exporter.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
{{- end }}
