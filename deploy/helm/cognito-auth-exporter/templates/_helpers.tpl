{{- /*
The name of everything. It keeps `cognito` whatever the release is called, by which the alert CognitoAuthExporterDown knows the job, and has
at most 52 characters: the StatefulSet's controller adds eleven for a label's value of at most 63.
*/ -}}
{{- define "cognito-auth-exporter.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" (.Release.Name | trunc 30 | trimSuffix "-") .Chart.Name -}}
{{- end -}}
{{- end -}}

{{- define "cognito-auth-exporter.selectorLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{- /* The labels of an object: the chart's go before those that are given, as selectors go by them. */ -}}
{{- define "cognito-auth-exporter.labels" -}}
{{- $own := include "cognito-auth-exporter.selectorLabels" .root | fromYaml -}}
{{- $_ := set $own "app.kubernetes.io/version" .root.Chart.AppVersion -}}
{{- $_ := set $own "app.kubernetes.io/managed-by" .root.Release.Service -}}
{{- $_ := set $own "helm.sh/chart" (printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_") -}}
{{- merge $own (.given | default dict) .root.Values.commonLabels | toYaml -}}
{{- end -}}

{{- define "cognito-auth-exporter.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (ternary (include "cognito-auth-exporter.fullname" .) "default" .Values.serviceAccount.create) -}}
{{- end -}}

{{- define "cognito-auth-exporter.config" -}}
{{- merge (dict "state" (dict "path" "/data/cognito-auth-exporter.db")) .Values.config | toYaml -}}
{{- end -}}

{{- /* Kubelet has no password and no client certificate. It does not verify the exporter's. */ -}}
{{- define "cognito-auth-exporter.probe" -}}
{{- if .root.Values.web.authentication -}}
tcpSocket:
  port: http
{{- else -}}
httpGet:
  path: {{ .path }}
  port: http
  scheme: {{ ternary "HTTPS" "HTTP" .root.Values.web.tls }}
{{- end -}}
{{- end -}}

{{- /* The seconds of a duration that is written as the configuration writes it: 90s, 15m, 1h30m, 2d. */ -}}
{{- define "cognito-auth-exporter.seconds" -}}
{{- $units := dict "d" 86400 "h" 3600 "m" 60 "s" 1 -}}
{{- $seconds := 0 -}}
{{- range regexFindAll "[0-9]+[dhms]" . -1 -}}
{{- $seconds = add $seconds (mul (regexFind "[0-9]+" . | int64) (get $units (regexFind "[dhms]" .))) -}}
{{- end -}}
{{- $seconds -}}
{{- end -}}

{{- /* In the repository files/monitoring is a link. A checkout without links would leave out every alert, and say nothing. */ -}}
{{- define "cognito-auth-exporter.requireKit" -}}
{{- if not (.Files.Glob "files/monitoring/*.rules.yml") -}}
{{- fail "files/monitoring is not the monitoring kit: where there are no symbolic links, take the packed chart" -}}
{{- end -}}
{{- end -}}
