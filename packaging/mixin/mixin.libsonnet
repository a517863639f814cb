// The monitoring mixin: `prometheusAlerts`, `prometheusRules` and `grafanaDashboards`, all from one `_config`.
// README.md shows how to use it. What is shipped in `packaging/prometheus` and `packaging/dashboards` is this with the
// default configuration (files.jsonnet).
(import 'config.libsonnet')
+ (import 'alerts/audit.libsonnet')
+ (import 'alerts/work.libsonnet')
+ (import 'alerts/agent.libsonnet')
+ (import 'alerts/exporter.libsonnet')
+ (import 'rules.libsonnet')
+ (import 'dashboards/host.libsonnet')
+ (import 'dashboards/fleet.libsonnet')
