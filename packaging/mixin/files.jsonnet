// The files that are made from the mixin with its default configuration, by their name below `packaging/`. Each is text:
//
//     jsonnet --string --multi packaging packaging/mixin/files.jsonnet
local mixin = import 'mixin.libsonnet';

local yaml(comment, value) =
  std.join('\n', [if line == '' then '#' else '# ' + line for line in std.split(comment, '\n')])
  + '\n'
  + std.manifestYamlDoc(value, indent_array_in_object=true, quote_keys=false)
  + '\n';

local made = 'Made from packaging/mixin: change that, not this file.';

{
  'prometheus/etcha.rules.yml': yaml(
    |||
      Alerts on etcha-exporter. Load them beside etcha-fleet.rules.yml:

          rule_files: [/etc/prometheus/etcha*.rules.yml]

    ||| + made,
    mixin.prometheusAlerts
  ),
  'prometheus/etcha-fleet.rules.yml': yaml(
    'Recording rules: what the fleet dashboard shows, computed once.\n' + made,
    mixin.prometheusRules
  ),
  'prometheus/guide.rules.yml': yaml(
    |||
      The two rules of Etcha's monitoring guide, with its expressions as they are. Load them only where every run is to be
      announced: the second one fires at each run of each Source. etcha.rules.yml does not need them.
    ||| + made,
    mixin.guideAlerts
  ),
  'kubernetes/prometheusrule.yaml': yaml(
    'For the Prometheus Operator: the alerts and recording rules of ../prometheus.\n' + made,
    {
      apiVersion: 'monitoring.coreos.com/v1',
      kind: 'PrometheusRule',
      metadata: { name: 'etcha', labels: { 'app.kubernetes.io/name': 'etcha' } },
      spec: { groups: mixin.prometheusRules.groups + mixin.prometheusAlerts.groups },
    }
  ),
} + {
  ['dashboards/' + name]: std.manifestJsonEx(mixin.grafanaDashboards[name], '  ') + '\n'
  for name in std.objectFields(mixin.grafanaDashboards)
}
