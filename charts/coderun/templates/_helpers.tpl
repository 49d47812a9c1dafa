{{- define "coderun.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "coderun.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains (include "coderun.name" .) .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "coderun.name" .) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "coderun.selector" -}}
app.kubernetes.io/name: {{ include "coderun.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: controller
{{- end -}}

{{- define "coderun.labels" -}}
app.kubernetes.io/name: {{ include "coderun.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: coderun
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "coderun.image" -}}
{{- if .image.digest -}}
{{ .image.repository }}@{{ .image.digest }}
{{- else -}}
{{ .image.repository }}:{{ default .root.Chart.AppVersion .image.tag }}
{{- end -}}
{{- end -}}

{{- define "coderun.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "coderun.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* The service account of agents that have none of their own. It has no rights, and its token is never mounted. */}}
{{- define "coderun.agentAccount" -}}
{{ include "coderun.fullname" . }}-agent
{{- end -}}

{{/* The worked namespaces as a JSON list. */}}
{{- define "coderun.namespaces" -}}
{{- .Values.namespaces | default (list .Release.Namespace) | uniq | toJson -}}
{{- end -}}

{{/* Service accounts that agents name, as a JSON list. */}}
{{- define "coderun.namedAccounts" -}}
{{- $named := list -}}
{{- range $agent := .Values.agents -}}
{{- with $agent.serviceAccount -}}{{- $named = append $named . -}}{{- end -}}
{{- end -}}
{{- uniq $named | sortAlpha | toJson -}}
{{- end -}}

{{/* coderun.yaml of the controller. */}}
{{- define "coderun.config" -}}
{{- $runs := .Values.runs -}}
{{- $env := dict -}}
{{- range $variable, $value := $runs.env -}}{{- $env = set $env $variable (toString $value) -}}{{- end -}}
{{- $cluster := dict
      "image" (include "coderun.image" (dict "image" $runs.image "root" .))
      "imagePullPolicy" $runs.image.pullPolicy
      "imagePullSecrets" .Values.imagePullSecrets
      "requests" ($runs.resources.requests | default dict)
      "limits" ($runs.resources.limits | default dict)
      "serviceAccount" (include "coderun.agentAccount" .)
      "env" $env
      "login" $runs.login
      "reservedSecrets" (include "coderun.reservedSecrets" . | fromJsonArray)
      "startSeconds" (int $runs.startSeconds)
      "tmpSize" $runs.tmpSize
      "nodeSelector" $runs.nodeSelector
      "tolerations" $runs.tolerations
      "affinity" $runs.affinity
      "priorityClass" $runs.priorityClass
      "runtimeClass" $runs.runtimeClass -}}
{{- if $runs.docker.enabled -}}
{{- $cluster = set $cluster "dockerImage" $runs.docker.image -}}
{{- end -}}
{{- $config := deepCopy .Values.config -}}
{{- $config = set $config "agents" .Values.agents -}}
{{- $config = set $config "workspaces" .Values.workspaces -}}
{{- $config = set $config "cluster" $cluster -}}
{{- if .Values.webhook.enabled -}}
{{- $files := list -}}
{{- if .Values.webhook.secretName -}}
{{- range .Values.webhook.keys -}}{{- $files = append $files (printf "/etc/coderun/webhook/%s" .) -}}{{- end -}}
{{- end -}}
{{- $config = set $config "webhook" (dict "host" "0.0.0.0" "port" 8080 "secretFiles" $files) -}}
{{- end -}}
{{- toYaml $config -}}
{{- end -}}

{{- define "coderun.reservedSecrets" -}}
{{- $reserved := .Values.runs.reservedSecrets -}}
{{- range $app := .Values.github.apps -}}{{- $reserved = append $reserved $app.secretName -}}{{- end -}}
{{- with .Values.github.token.secretName -}}{{- $reserved = append $reserved . -}}{{- end -}}
{{- with .Values.webhook.secretName -}}{{- $reserved = append $reserved . -}}{{- end -}}
{{- uniq $reserved | sortAlpha | toJson -}}
{{- end -}}

{{/* Own templates in ConfigMaps of at most 900 KiB each: a JSON list of objects of flat key and text. */}}
{{- define "coderun.templateParcels" -}}
{{- $limit := 921600 -}}
{{- $parcels := list -}}
{{- $parcel := dict -}}
{{- $size := 0 -}}
{{- range $path, $text := .Values.templates.files -}}
{{- $length := len $text -}}
{{- if gt $length $limit -}}
{{- fail (printf "templates.files: %s has %d bytes; a ConfigMap takes 1 MiB, so keep it below %d" $path $length $limit) -}}
{{- end -}}
{{- if gt (add $size $length) $limit -}}
{{- $parcels = append $parcels $parcel -}}
{{- $parcel = dict -}}
{{- $size = 0 -}}
{{- end -}}
{{- $size = add $size $length -}}
{{- $parcel = set $parcel (replace "/" "_" $path) $text -}}
{{- end -}}
{{- if $parcel -}}{{- $parcels = append $parcels $parcel -}}{{- end -}}
{{- toJson $parcels -}}
{{- end -}}

{{/* Refuses Apps of agents that there are not: a misspelt name would be passed over in silence. */}}
{{- define "coderun.checkApps" -}}
{{- $known := concat (.Files.Get "files/agents.txt" | trim | splitList "\n") (keys .Values.agents) | uniq | sortAlpha -}}
{{- range $agent, $app := .Values.github.apps -}}
{{- if not (has $agent $known) -}}
{{- fail (printf "github.apps: there is no agent %q (known agents: %s)" $agent (join ", " $known)) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Refuses what a schema cannot, or would refuse without saying where or what to write instead. */}}
{{- define "coderun.checkValues" -}}
{{- range $where, $image := dict "image" .Values.image "runs.image" .Values.runs.image -}}
{{- if not (regexMatch "^([A-Za-z0-9.-]+(:[0-9]+)?/)?[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*$" $image.repository) -}}
{{- fail (printf "%s.repository: %q is no name of an image; write one such as registry.example/team/image, with its tag in %s.tag, its digest in %s.digest" $where $image.repository $where $where) -}}
{{- end -}}
{{- if not (regexMatch "^([A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?$" (toString $image.tag)) -}}
{{- fail (printf "%s.tag: %q is no tag; write letters, digits, '_', '.' and '-', as in 1.2.3" $where (toString $image.tag)) -}}
{{- end -}}
{{- end -}}
{{- range $agent, $_ := .Values.agents -}}
{{- if not (regexMatch "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$" $agent) -}}
{{- fail (printf "agents: %q is no name of an agent; write lower-case letters, digits and '-'" $agent) -}}
{{- end -}}
{{- end -}}
{{- range $agent, $_ := .Values.github.apps -}}
{{- if gt (len $agent) 50 -}}{{- fail (printf "github.apps: %q is too long; an agent's name has at most 50 characters" $agent) -}}{{- end -}}
{{- end -}}
{{- range $where, $variables := dict "env" .Values.env "runs.env" .Values.runs.env -}}
{{- range $name, $_ := $variables -}}
{{- if not (regexMatch "^[A-Za-z_][A-Za-z0-9_]*$" $name) -}}
{{- fail (printf "%s: %q is no name of a variable; write letters, digits and '_', and begin with no digit" $where $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $path, $_ := .Values.templates.files -}}
{{- if not (regexMatch "^[A-Za-z0-9][-A-Za-z0-9._/]*\\.hbs$" $path) -}}
{{- fail (printf "templates.files: %q is no path of a template; write one such as code/claude.md.hbs" $path) -}}
{{- end -}}
{{- end -}}
{{- with (.Values.config.forge).url -}}
{{- if not (regexMatch "^(https://[^\\s/@]+(/\\S*)?|http://(localhost|127\\.0\\.0\\.1)(:[0-9]+)?(/\\S*)?)$" .) -}}
{{- fail (printf "config.forge.url: %q is no address of a forge; write one such as https://github.example.com" .) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.httpRoute.enabled (not .Values.httpRoute.parentRefs) -}}
{{- fail "httpRoute.parentRefs: a route needs a gateway; write one such as [{name: public-gateway, namespace: gateways}]" -}}
{{- end -}}
{{- $policy := .Values.networkPolicy -}}
{{- range $policy.clusterRanges -}}
{{- if not (regexMatch (include "coderun.range4" $) .) -}}
{{- fail (printf "networkPolicy.clusterRanges: %q is no range of IPv4 addresses; write one such as 10.0.0.0/8" .) -}}
{{- end -}}
{{- end -}}
{{- range $policy.clusterRanges6 -}}
{{- if not (regexMatch (include "coderun.range6" $) .) -}}
{{- fail (printf "networkPolicy.clusterRanges6: %q is no range of IPv6 addresses; write one such as fd00::/8" .) -}}
{{- end -}}
{{- end -}}
{{- range $where := list "dns" "webhookFrom" "metricsFrom" "agentEgress" -}}
{{- range $entry := get $policy $where -}}
{{- range $peer := ternary (get $entry "to" | default list) (list $entry) (eq $where "agentEgress") -}}
{{- with ($peer.ipBlock).cidr -}}
{{- if not (or (regexMatch (include "coderun.range4" $) .) (regexMatch (include "coderun.range6" $) .) (has . (list "0.0.0.0/0" "::/0"))) -}}
{{- fail (printf "networkPolicy.%s: ipBlock.cidr %q is no range of addresses; write one such as 10.20.0.5/32" $where .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* What a range within all addresses looks like; the API server looks closer. */}}
{{- define "coderun.range4" -}}
{{- $byte := "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])" -}}
^({{ $byte }}\.){3}{{ $byte }}/(3[0-2]|[12][0-9]|[1-9])$
{{- end -}}
{{- define "coderun.range6" -}}
^[0-9A-Fa-f.:]*:[0-9A-Fa-f.:]*/(12[0-8]|1[01][0-9]|[1-9][0-9]?)$
{{- end -}}
